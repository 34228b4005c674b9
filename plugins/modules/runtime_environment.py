#!/usr/bin/python
# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
---
module: runtime_environment
short_description: Make a virtual environment with the libraries of a lock
version_added: 0.1.0
author:
  - The certautopilot.ops authors (@certautopilot-ops)
description:
  - Makes a virtual environment with exactly the libraries of a lock, each file by its hash, and says which
    interpreter has them. The role P(certautopilot.ops.runtime#role) finds an interpreter and calls it.
  - The interpreter that runs this module is the one that makes the environment, so give the task
    C(ansible_python_interpreter). No library is needed for it.
  - A new environment is made beside the one in use and swapped in when it was proven. The one that was in use stays
    until the next one is made.
options:
  path:
    description: Folder of the environments, made with mode C(0755). Nothing else belongs there.
    type: path
    required: true
  lock_sha256:
    description: SHA-256 of the lock's file, in hex. An environment of another lock is replaced.
    type: str
    required: true
  libraries:
    description: What the lock pins, name to version. An environment that has anything else is replaced.
    type: dict
    required: true
  pythons:
    description: Real paths of the interpreters that an environment may have been made of. Empty for any.
    type: list
    elements: str
    default: []
  lock_file:
    description:
      - The lock on this host, in pip's format, with hashes.
      - Needed only where an environment must be made.
    type: path
    default: ""
  wheels:
    description: Folder on this host with wheels, instead of package indexes.
    type: path
    default: ""
  fact_file:
    description: File of local facts that remembers the interpreter. Empty for none.
    type: path
    default: ""
requirements:
  - python >= 3.11
extends_documentation_fragment:
  - certautopilot.ops._attributes
  - certautopilot.ops._attributes.changes
attributes:
  action_group:
    support: none
    details: It works on no installation, so it does not take the options that the group's defaults set.
  diff_mode:
    support: full
    details: The diff says what was wrong with the environment, and what its libraries are.
"""

EXAMPLES = r"""
---
- name: Is the environment as the lock has it?
  certautopilot.ops.runtime_environment:
    path: /opt/certautopilot-ops
    lock_sha256: "{{ lock.sha256 }}"
    libraries: "{{ lock.libraries }}"
  vars:
    ansible_python_interpreter: /usr/bin/python3.12
    lock: "{{ lookup('ansible.builtin.file', 'lock.txt', rstrip=false) | certautopilot.ops.runtime_lock }}"
  check_mode: true
  become: true
  register: environment_now
"""

RETURN = r"""
---
python:
  description: Interpreter of the environment in use, empty where there is none.
  returned: success
  type: str
  sample: /opt/certautopilot-ops/env-0f6b2a1c9d3e-5a01c4/bin/python
version:
  description: Its version, empty where there is none.
  returned: success
  type: str
  sample: 3.12.7
reason:
  description: Why an environment was, or in check mode would be, made. Empty where the one in use is fit.
  returned: success
  type: str
  sample: it has the libraries of another lock
remembered:
  description: Whether O(fact_file) named this interpreter before.
  returned: success
  type: bool
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
    code: runtime.not_installed
    step: ""
    retryable: false
    hint: "look at pip's configuration on this host (pip config list)"
"""

from ansible_collections.certautopilot.ops.plugins.module_utils._module.base import run_module
from ansible_collections.certautopilot.ops.plugins.module_utils._verbs import runtime_environment

ARGUMENTS = {
    "path": {"type": "path", "required": True},
    "lock_sha256": {"type": "str", "required": True},
    "libraries": {"type": "dict", "required": True},
    "pythons": {"type": "list", "elements": "str", "default": []},
    "lock_file": {"type": "path", "default": ""},
    "wheels": {"type": "path", "default": ""},
    "fact_file": {"type": "path", "default": ""},
}


def main() -> None:
    run_module(ARGUMENTS, runtime_environment.Options, runtime_environment.run, installed=False)


if __name__ == "__main__":
    main()
