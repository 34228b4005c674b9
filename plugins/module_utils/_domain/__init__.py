# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What things are, without any input or output: envelopes, layouts, the catalogue, settings, errors, messages.

Imports nothing of the packages above. Enter at `envelope`, `catalogue` and `errors`.
"""
