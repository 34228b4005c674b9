# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The examples of docs/examples, run on test hosts as an operator runs them; molecule and tests/integration/hosts do.

Entry: `sides.Sides`, hosts with what is on them, and its plays (plays.py); prepared.py says what each example finds
when it is run.
"""
