# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Virtual environments with the locked libraries: how one is examined, made beside the one in use, and swapped in.

Runs before any library of ours is there, so it keeps to the standard library. Owns the folder that the role runtime
names, the link in it and the fact file. Enter at `environment.look` and `making.make`. ADR-0034.
"""
