#!/usr/bin/python
# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
---
module: kek_pkcs11_init
short_description: Make a KEK version inside an HSM
version_added: 0.1.0
author:
  - The certautopilot.ops authors (@certautopilot-ops)
description:
  - Tries out what the token can do, makes an AES-256 key that never leaves it, seals a canary with it, and writes the
    install lock on a fresh database, and the keystore row.
  - On a database that is locked for V(env) it refuses with the vendor's text before the PKCS#11 library is loaded.
  - After a crash, run it again. It finishes what was begun, and there is exactly one key in the token.
  - A version that any envelope or keystore row names never gets a new key. If its key is missing, the module fails.
options:
  version:
    description: KEK version to make, V(1) on a fresh database, the next one for a rotation.
    type: int
    required: true
  retry_refusal:
    description:
      - Id of a refused login, as C(pkcs11.pin_refused_before) names it. The PIN that the token refused then is tried
        once more.
      - Use it after the token's PIN was changed to the one that it had refused. If the token refuses it again, that is
        a new refusal with an id of its own.
      - Use it too after C(pkcs11.login_unanswered), once you know why the answer was lost and how many tries are left.
    type: str
  record_file:
    description:
      - File for the record of the key's making, for example for two people to sign. It has what RV(ceremony) has, as
        JSON that is the same bytes each time. It is written when it is not there, and never replaced.
    type: path
extends_documentation_fragment:
  - certautopilot.ops._attributes
  - certautopilot.ops._attributes.changes
  - certautopilot.ops._mongodb
  - certautopilot.ops._provider
seealso:
  - module: certautopilot.ops.kek_install_lock
  - module: certautopilot.ops.kek_rotate
"""

EXAMPLES = r"""
---
- name: Make the first key and lock the database for the HSM
  certautopilot.ops.kek_pkcs11_init:
    version: 1
    pkcs11_module_path: /usr/lib/softhsm/libsofthsm2.so
    pkcs11_token_label: certautopilot-prod
    pkcs11_pin_file: /etc/certautopilot/pin
  become: true

- name: Make the key for the next rotation, settings from /etc/certautopilot
  certautopilot.ops.kek_pkcs11_init:
    version: 2
  become: true

- name: Probe the token and predict, writing nothing
  certautopilot.ops.kek_pkcs11_init:
    version: 1
  check_mode: true
  become: true

- name: Try a refused PIN again, once the token's PIN was set to it
  certautopilot.ops.kek_pkcs11_init:
    version: 1
    retry_refusal: 5d21c0ae
  become: true
"""

RETURN = r"""
---
lock:
  description: The install lock; in check mode the one that would be written.
  returned: success
  type: dict
  contains:
    provider:
      description: Provider the database is locked for.
      type: str
    installed_at:
      description: RFC 3339 instant in UTC, V(unknown) where the lock does not tell, empty in check mode.
      type: str
    installed_by:
      description: Who wrote it, V(service) or V(pkcs11-init).
      type: str
    install_id:
      description: Id of the installation, 32 hex characters.
      type: str
  sample:
    provider: pkcs11
    installed_at: "2026-05-01T09:00:00Z"
    installed_by: pkcs11-init
    install_id: 844d9c87ba984b2d89f04458d1536ddc
key:
  description: The key of this version; no key material.
  returned: success
  type: dict
  contains:
    version:
      description: KEK version.
      type: int
    label:
      description: CKA_LABEL of the key.
      type: str
    id:
      description: CKA_ID of the key in hex, install id and version.
      type: str
    check_value:
      description: Key check value, 6 hex characters, empty where the token does not tell or in check mode.
      type: str
    state:
      description: State of the version in the words of NIST SP 800-57.
      type: str
  sample:
    version: 1
    label: certautopilot-kek-v1
    id: 844d9c87ba984b2d89f04458d1536ddc00000001
    check_value: ff2531
    state: active
probe:
  description: What the token was found to do when it was tried.
  returned: success
  type: dict
  sample:
    library: Implementation of PKCS11 2.6
    token_label: certautopilot-prod
    iv_mode: caller
    key_generation: true
ceremony:
  description: Record of the key's making, which is in the keystore row and in the journal too. Null where there is
    none, in check mode or from a release before 0.4.0.
  returned: success
  type: dict
  contains:
    version:
      description: KEK version.
      type: int
    label:
      description: CKA_LABEL.
      type: str
    id:
      description: CKA_ID in hex.
      type: str
    check_value:
      description: Check value, null where the token shows none.
      type: str
    canary_tag:
      description: Tag of the canary, where the token shows no check value.
      type: str
    attributes:
      description: Attributes of the key as the token told them right after it was made.
      type: dict
    device:
      description: Token label, serial number, model and firmware, manufacturer, library and its path.
      type: dict
    made:
      description: When by the database server's clock, on which host, and by which user.
      type: dict
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
    code: pkcs11.pin_incorrect
    step: ""
    retryable: false
    hint: "correct the PIN before the next run; a token locks after a few wrong ones"
"""

from ansible_collections.certautopilot.ops.plugins.module_utils._module.arguments import with_installation
from ansible_collections.certautopilot.ops.plugins.module_utils._module.base import run_module
from ansible_collections.certautopilot.ops.plugins.module_utils._verbs import kek_pkcs11_init

ARGUMENTS = with_installation(
    version={"type": "int", "required": True}, retry_refusal={"type": "str"}, record_file={"type": "path"}
)


def main() -> None:
    run_module(ARGUMENTS, kek_pkcs11_init.Options, kek_pkcs11_init.run)


if __name__ == "__main__":
    main()
