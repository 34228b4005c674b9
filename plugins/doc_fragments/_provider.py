# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

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
    description: Label of the token. Exactly one token must have it.
    type: str
  pkcs11_token_serial:
    description: Serial number of the token, where several tokens have the label.
    type: str
  pkcs11_pin:
    description:
      - User PIN of the token. It is tried once. After the token refused it, no host that works on the same database
        tries it again. Hosts therefore log in one after the other, in check mode too.
      - Prefer O(pkcs11_pin_file), or leave both out where O(secrets_file) has
        C(CERTAUTOPILOT_ENCRYPTION_PKCS11_PIN).
    type: str
  pkcs11_pin_file:
    description: File that holds the user PIN, mode C(0600). One line end after it is not part of the PIN; a file that
      holds what nobody can have typed is refused before any login.
    type: path
  pkcs11_run_as:
    description:
      - User as whom the HSM's library is called, by processes of their own.
      - C(auto), as when it is left out, takes O(service_user) where the library is SoftHSM2, because its token is files
        that must be the service's. Otherwise, and with C(module), it is the user of the module.
      - A name is that user. Another user than the module's own needs root.
      - Roles take it as C(CERTAUTOPILOT_OPS_PKCS11_RUN_AS) in their environment.
    type: str
  pkcs11_timeout:
    description:
      - Seconds within which the HSM must answer a request of up to 250 envelopes. Workers that all stay silent are
        given up together. 120 when left out.
      - Roles take it as C(CERTAUTOPILOT_OPS_PKCS11_TIMEOUT) in their environment.
    type: int
  pkcs11_start_timeout:
    description:
      - Seconds within which the HSM's library must be loaded, initialised and logged in to. 60 when left out.
      - Roles take it as C(CERTAUTOPILOT_OPS_PKCS11_START_TIMEOUT) in their environment.
    type: int
  pkcs11_library_variables:
    description:
      - How further variables in O(secrets_file) begin that the HSM's library reads, separated by commas. Those of the
        known families of HSMs are passed to it without being named here.
      - Roles take it as C(CERTAUTOPILOT_OPS_PKCS11_LIBRARY_VARIABLES) in their environment.
    type: str
requirements:
  - python-pkcs11 >= 0.9 (provider V(pkcs11) only)
"""
