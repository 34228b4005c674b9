# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A stand-in for the product, whose binary is closed: same files, same start-up checks, same data, same command line.

It shares no code with the collection (PyKCS11 instead of python-pkcs11, its own envelope code), so that it is an
independent witness of the contracts. It is test code and never part of a release.
"""
