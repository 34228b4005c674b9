# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What verbs share: an installation opened and proven, its records surveyed, opened, sealed and compared.

The only package that joins `_keys` and `_store`. Must not import verbs or the rotation. Enter at
`installation.open_installation`.
"""
