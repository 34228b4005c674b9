# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this fragment is PRIVATE to the collection. It can change at any time.

from __future__ import annotations


class ModuleDocFragment:
    # Says the same as PROVIDER in module_utils/_module/arguments.py; a unit test compares them.
    DOCUMENTATION = r"""
options:
  provider:
    description: KEK provider of the installation. Taken from C(encryption.provider) in O(config_file) when left
      out.
    type: str
    choices: [env, pkcs11]
  pkcs11_module_path:
    description: Absolute path of the HSM vendor's PKCS#11 library.
    type: path
  pkcs11_token_label:
    description: Label of the token. Exactly one token must carry it.
    type: str
  pkcs11_token_serial:
    description: Serial number of the token, where labels repeat.
    type: str
  pkcs11_pin:
    description:
      - User PIN of the token. Tried once; never again after the token refused it, by no host that works on the same
        database. For that, hosts log in one after the other under a lease, also in check mode.
      - Prefer O(pkcs11_pin_file), or leave both out where O(secrets_file) has
        C(CERTAUTOPILOT_ENCRYPTION_PKCS11_PIN).
    type: str
  pkcs11_pin_file:
    description: File that holds the user PIN, mode C(0600).
    type: path
requirements:
  - python-pkcs11 >= 0.9 (provider V(pkcs11) only)
"""
