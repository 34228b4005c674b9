#!/usr/bin/python
# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
---
module: pkcs11_info
short_description: Try out what a PKCS#11 library and token can do
version_added: 0.4.0
author:
  - The certautopilot.ops authors (@certautopilot-ops)
description:
  - Looks at the library, its slots and the token, makes a key that dies with the session, and tries AES-GCM with it.
    It tells for each requirement whether it works, works with a setting, or will not work and why, with names of CKR
    codes.
  - No database is needed. Where one is configured, a PIN that the token refused is noted there, and one that was
    refused before is not tried.
  - Without a database nobody remembers a refused PIN. A PIN that the token's flags say was refused lately is then not
    tried.
options:
  login:
    description: Whether to log in. Without it slots, tokens and the flags of the PIN are read, and no PIN is tried.
    type: bool
    default: true
  token_key:
    description: Whether to make a key of the token, and destroy it again. Not in check mode.
    type: bool
    default: false
  parallel:
    description: Numbers of processes to measure the rate with. More than the token has sessions for are left out.
    type: list
    elements: int
    default: [1, 2, 4, 8]
  seconds:
    description: How long to measure with each of them, V(1) to V(60).
    type: int
    default: 1
extends_documentation_fragment:
  - certautopilot.ops._attributes
  - certautopilot.ops._attributes.reads
  - certautopilot.ops._mongodb
  - certautopilot.ops._provider
seealso:
  - module: certautopilot.ops.kek_pkcs11_init
  - module: certautopilot.ops.kek_rotate
"""

EXAMPLES = r"""
---
- name: See which tokens there are and how their PINs are, without a login
  certautopilot.ops.pkcs11_info:
    pkcs11_module_path: /usr/lib/softhsm/libsofthsm2.so
    pkcs11_token_label: certautopilot-prod
    login: false
    config_file: /dev/null
    secrets_file: /dev/null
  become: true
  register: tokens

- name: Try everything before an installation, a key of the token among it
  certautopilot.ops.pkcs11_info:
    pkcs11_module_path: /usr/lib/softhsm/libsofthsm2.so
    pkcs11_token_label: certautopilot-prod
    pkcs11_pin_file: /root/pin
    token_key: true
  become: true
  register: hsm

- name: Show what would not work
  ansible.builtin.debug:
    msg: "{{ hsm.requirements | rejectattr('answer', 'equalto', 'works') }}"
"""

RETURN = r"""
---
fit:
  description: Whether everything works, null where not all of it was tried.
  returned: success
  type: bool
requirements:
  description: What the product needs of a token, each with an answer.
  returned: success
  type: list
  elements: dict
  contains:
    requirement:
      description: What is needed.
      type: str
    answer:
      description: V(works), V(works with), V(will not work because) or V(not tried).
      type: str
    told:
      description: With which setting, or why.
      type: str
  sample:
    - requirement: CKM_AES_GCM with an IV of 96 bits
      answer: works with
      told: "use_gcm_iv_from_hsm: true (the HSM makes the IV: in_place, offered: zeros)"
library:
  description: Description and version of the library, null where it could not be loaded.
  returned: success
  type: str
slots:
  description: Every slot with what it answered, and its token.
  returned: success
  type: list
  elements: dict
  sample:
    - slot: 0
      answer: CKR_OK
      token:
        label: certautopilot-prod
        serial: 844d9c87ba984b2d
        manufacturer: SoftHSM project
        model: SoftHSM v2
        firmware: "2.6"
        flags: [CKF_LOGIN_REQUIRED, CKF_RNG, CKF_TOKEN_INITIALIZED, CKF_USER_PIN_INITIALIZED]
token:
  description: The token that is meant, null where there is not exactly one.
  returned: success
  type: dict
mechanisms:
  description: Names of the token's mechanisms, sorted. Null without a login.
  returned: success
  type: list
  elements: str
gcm:
  description: What was found with a key of the session. Null without a login.
  returned: success
  type: dict
  contains:
    iv_mode:
      description: Who makes the IV, V(caller), or the HSM, V(in_place) or V(appended). Null where no way works.
      type: str
    iv_offered:
      description: What the HSM wants to be offered as IV, V(random), V(zeros) or V(none).
      type: str
    iv_ways:
      description: Each of these ways with the mode that it showed, or what it was answered.
      type: dict
    iv_refusal:
      description: Code and message where no way works.
      type: list
      elements: str
    aad:
      description: Length of additional data in bytes to V(works) or what it was answered.
      type: dict
    tag_bits:
      description: Lengths of the tag that were taken, in bits.
      type: list
      elements: int
    largest_buffer:
      description: The most bytes that were encrypted in one call, of those that were tried, at most 1 MiB.
      type: int
    check_value:
      description: Whether the token shows a check value of a key.
      type: bool
token_key:
  description: The key of the token that was made and destroyed again. Null where none was asked for.
  returned: success
  type: dict
session_cap:
  description: How many sessions the token gives, null for any number or where it does not say.
  returned: success
  type: int
rates:
  description: Wraps in a second of all processes together, and how long one takes, by number of processes.
  returned: success
  type: list
  elements: dict
  sample:
    - workers: 4
      calls_per_second: 2842.0
      latency_ms: 1.401
      latency_p99_ms: 2.05
recommended_workers:
  description: The fewest processes that reach nine tenths of the best rate, with two sessions left to others.
  returned: success
  type: int
  sample: 4
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
    code: fleet.not_ready
    step: ""
    retryable: false
    hint: "give the version's key to these hosts and restart"
"""

from ansible_collections.certautopilot.ops.plugins.module_utils._module.arguments import with_installation
from ansible_collections.certautopilot.ops.plugins.module_utils._module.base import run_module
from ansible_collections.certautopilot.ops.plugins.module_utils._verbs import pkcs11_info

ARGUMENTS = with_installation(
    login={"type": "bool", "default": True},
    token_key={"type": "bool", "default": False, "no_log": False},
    parallel={"type": "list", "elements": "int", "default": [1, 2, 4, 8]},
    seconds={"type": "int", "default": 1},
)


def main() -> None:
    run_module(ARGUMENTS, pkcs11_info.Options, pkcs11_info.run, database=False)


if __name__ == "__main__":
    main()
