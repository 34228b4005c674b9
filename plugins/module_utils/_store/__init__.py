# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Where records are: MongoDB, bundles, private files. The only package that imports the database driver.

Must not know keys: code that writes records cannot reach a KEK. Enter at `connection.open_store`.
"""
