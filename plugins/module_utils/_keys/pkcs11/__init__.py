# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The `pkcs11` provider: a pool of worker processes that talk to the HSM, and the parent's side of it (ADR-0005).

The parent never loads the PKCS#11 module; `worker/` does, in processes of its own. Enter at `provider.Pkcs11Provider`.
"""
