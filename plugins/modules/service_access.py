#!/usr/bin/python
# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
---
module: service_access
short_description: Prove that the service's user can use its files, library, token and key
version_added: 0.1.0
author:
  - The certautopilot.ops authors (@certautopilot-ops)
description:
  - Tries, as the user of the service's unit, what the service needs at its start, and changes nothing. It reads
    O(config_file), and O(secrets_file) where systemd does not read it for the service, uses the HSM's library and
    token, and opens the canary of every KEK version.
  - It tries them once as that user, and once in a transient unit with the user, environment and sandbox of the
    service's unit, where the host runs systemd and has that unit.
  - Every path that cannot be used is named with user, permission, owner, mode, and the command that repairs it.
  - Where the database has no lock yet, files and token are proven, and no key is expected.
options:
  unit:
    description:
      - Unit of the service. Its C(User=) and C(Group=) are who is tried. Where it does not exist, O(service_user) is,
        or the user of the module.
    type: str
    default: certautopilot.service
  gather:
    description: What to prove. V(key) opens the database, logs in to a token and opens canaries.
    type: list
    elements: str
    choices: [files, key]
    default: [files, key]
  sandbox:
    description: Also try it in a transient unit like the service's.
    type: bool
    default: true
  refuse:
    description: Fail where a path cannot be used. With V(false) it is only listed in RV(problems).
    type: bool
    default: true
extends_documentation_fragment:
  - certautopilot.ops._attributes
  - certautopilot.ops._attributes.reads
  - certautopilot.ops._mongodb
  - certautopilot.ops._provider
seealso:
  - module: certautopilot.ops.kek_info
"""

EXAMPLES = r"""
---
- name: The service can use all that it needs
  certautopilot.ops.service_access:
    service_user: certautopilot
  become: true

- name: A token and its library, before anything is written
  certautopilot.ops.service_access:
    config_file: /dev/null
    secrets_file: /dev/null
    mongodb_uri_file: /etc/certautopilot/mongodb-uri
    mongodb_database: certautopilot
    provider: pkcs11
    pkcs11_module_path: /usr/lib/softhsm/libsofthsm2.so
    pkcs11_token_label: certautopilot
    pkcs11_pin_file: /etc/certautopilot/pin
  become: true

- name: Look at the files only, and go on whatever is wrong with them
  certautopilot.ops.service_access:
    gather: [files]
    refuse: false
  register: access
  become: true
"""

RETURN = r"""
---
user:
  description: Who was tried.
  returned: success
  type: str
  sample: certautopilot
group:
  description: The group of RV(user) that belongs into the command that repairs something.
  returned: success
  type: str
  sample: certautopilot
unit:
  description: The unit that says so, empty where this host has none.
  returned: success
  type: str
  sample: certautopilot.service
paths:
  description: Paths that were tried, apart from the folders above them.
  returned: success
  type: list
  elements: str
  sample: [/etc/certautopilot/config.yaml]
problems:
  description: Paths that cannot be used.
  returned: success, and on failure with C(access.path)
  type: list
  elements: dict
  contains:
    says:
      description: All of it in a sentence.
      type: str
    path:
      description: The path at fault, which may be a folder above the one that is needed.
      type: str
    user:
      description: Who cannot use it.
      type: str
    permission:
      description: What is missing, one of C(search), C(read), C(write), C(exists), C(read_only).
      type: str
    found:
      description: Owner, group and mode.
      type: str
    needed_for:
      description: What the service needs it for.
      type: str
    repair:
      description: The command that repairs it.
      type: str
  sample: []
key:
  description: What of the key is proven. V(null) where nobody asked.
  returned: success
  type: dict
  contains:
    versions:
      description: KEK versions whose canaries were opened, or which are loaded; empty where there is no lock yet.
      type: list
      elements: int
    as:
      description: The user who opened them. Keys of secrets.env are opened by the module itself.
      type: str
    sandbox:
      description: Whether they were opened in a unit like the service's.
      type: bool
  sample:
    versions: [1]
    as: certautopilot
    sandbox: true
unproven:
  description: What could not be tried, and why.
  returned: success
  type: list
  elements: str
  sample: []
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
    code: access.path
    step: ""
    retryable: false
    hint: chown certautopilot:certautopilot /etc/certautopilot/config.yaml
"""

from ansible_collections.certautopilot.ops.plugins.module_utils._module.arguments import with_installation
from ansible_collections.certautopilot.ops.plugins.module_utils._module.base import run_module
from ansible_collections.certautopilot.ops.plugins.module_utils._verbs import service_access

ARGUMENTS = with_installation(
    unit={"type": "str", "default": "certautopilot.service"},
    gather={"type": "list", "elements": "str", "choices": ["files", "key"], "default": ["files", "key"]},
    sandbox={"type": "bool", "default": True},
    refuse={"type": "bool", "default": True},
)


def main() -> None:
    run_module(ARGUMENTS, service_access.Options, service_access.run)


if __name__ == "__main__":
    main()
