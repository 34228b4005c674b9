# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Where KEKs are: the secrets file of `env`, the HSM of `pkcs11`. Wraps and unwraps data keys in batches.

Must not know databases: code that holds a KEK cannot reach one. Enter at `registry.build_registry`; the protocol that
every provider keeps is `provider.Provider`.
"""
