# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What operators do: one file for each module, of the module's name, with its `Options` and `run`.

A verb imports no other verb: what two of them share is in `_installation`, and a rotation's story is in `_rotation`.
Enter at the verb's `run`.
"""
