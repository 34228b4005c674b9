# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the tests stand on: a database server, tokens, a stand-in for the closed product, and an independent oracle.

Imports nothing of plugins/, so that an error in the collection cannot hide itself here. Run parts of it with
`python -m tests.support.NAME` from the root of the repository (or with it on PYTHONPATH).
"""
