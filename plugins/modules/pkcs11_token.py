#!/usr/bin/python
# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
---
module: pkcs11_token
short_description: Have a SoftHSM2 token with a user PIN
version_added: 0.4.0
author:
  - The certautopilot.ops authors (@certautopilot-ops)
description:
  - Looks for the token with the label, and makes it in a free slot where there is none, for tests and small
    installations. PINs come from files and go to the library through a pipe; none is in argv, in a log or in a result.
  - A token that is there is left as it is, and no user PIN is tried or changed. One whose making was interrupted before
    it had a user PIN is completed.
  - A label that exists twice is refused, and so is a library other than SoftHSM2. Tokens of hardware are made by the
    tools of its vendor.
  - The files of the token belong to the service's user, see O(service_user) and O(pkcs11_run_as).
options:
  so_pin_file:
    description:
      - File with the PIN of the token's security officer, in UTF-8, readable by its owner only. Needed where the token
        has to be made. Keep it, because without it nobody can set another user PIN.
    type: path
extends_documentation_fragment:
  - certautopilot.ops._attributes
  - certautopilot.ops._attributes.changes
  - certautopilot.ops._mongodb
  - certautopilot.ops._provider
seealso:
  - module: certautopilot.ops.pkcs11_info
  - module: certautopilot.ops.kek_pkcs11_init
"""

EXAMPLES = r"""
---
- name: A token for a small installation
  certautopilot.ops.pkcs11_token:
    pkcs11_module_path: /usr/lib/softhsm/libsofthsm2.so
    pkcs11_token_label: certautopilot-prod
    pkcs11_pin_file: /root/pin
    so_pin_file: /root/so-pin
    service_user: certautopilot
  become: true
  register: made

- name: Name it by its serial number from now on
  ansible.builtin.debug:
    msg: "pkcs11_token_serial: {{ made.token.serial }}"
"""

RETURN = r"""
---
token:
  description: The token, null in check mode where it would be made.
  returned: success
  type: dict
  contains:
    label:
      description: Its label.
      type: str
    serial:
      description: Its serial number, for O(pkcs11_token_serial) and C(encryption.pkcs11.token_serial).
      type: str
    manufacturer:
      description: Who made the library.
      type: str
    model:
      description: Model of the token.
      type: str
    firmware:
      description: Version of its firmware.
      type: str
    flags:
      description: Names of its flags, sorted.
      type: list
      elements: str
  sample:
    label: certautopilot-prod
    serial: 844d9c87ba984b2d
    manufacturer: SoftHSM project
    model: SoftHSM v2
    firmware: "2.6"
    flags: [CKF_LOGIN_REQUIRED, CKF_RNG, CKF_TOKEN_INITIALIZED, CKF_USER_PIN_INITIALIZED]
failure:
  description: What stopped the module. Codes are stable; they are listed in the collection's guide to failure
    codes.
  returned: on failure
  type: dict
  contains:
    code:
      description: Stable code of the failure.
      type: str
    step:
      description: Part of the operation that stopped, empty when it had not begun.
      type: str
    retryable:
      description: Whether the same call may succeed later without anybody changing anything.
      type: bool
    hint:
      description: What to do next.
      type: str
  sample:
    code: pkcs11.token_ambiguous
    step: ""
    retryable: false
    hint: "set encryption.pkcs11.token_serial to the right one of the serials"
"""

from ansible_collections.certautopilot.ops.plugins.module_utils._module.arguments import with_installation
from ansible_collections.certautopilot.ops.plugins.module_utils._module.base import run_module
from ansible_collections.certautopilot.ops.plugins.module_utils._verbs import pkcs11_token

ARGUMENTS = with_installation(so_pin_file={"type": "path", "no_log": False})


def main() -> None:
    run_module(ARGUMENTS, pkcs11_token.Options, pkcs11_token.run, database=False)


if __name__ == "__main__":
    main()
