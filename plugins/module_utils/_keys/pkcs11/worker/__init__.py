# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The program of a worker process: shipped as source by `bootstrap`, run alone, one C_Initialize and one login each.

Its files import the standard library, pkcs11 and each other, nothing else of the collection. Enter at `main`.
"""
