#!/usr/bin/python
# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
---
module: kek_remove
short_description: Retire a KEK version that nothing uses any more
version_added: 0.1.0
author:
  - The certautopilot.ops authors (@certautopilot-ops)
description:
  - Refuses while the version is active, while an envelope in any collection is under it, while an envelope does not
    open, while a live process writes with it, while a rotation is unfinished, and sooner than O(grace).
  - Then puts a validator on every collection of the catalogue, so that the database server itself refuses writes under
    this version, reads the database once more, and marks the keystore row as removed.
  - The key in an HSM stays unless O(destroy_key=true) and its check value is typed in O(check_value). For V(env),
    delete the line from C(secrets.env) on every host afterwards and restart the service.
  - A removed version is V(destroyed) only when its key material is gone, in the words of NIST SP 800-57. Until then its
    state stays V(deactivated) (or V(compromised)). For V(env), run the module again after the line was deleted; the
    state becomes V(destroyed) when this host's C(secrets.env) does not hold the KEK and no live process has it loaded.
options:
  version:
    description: KEK version to retire.
    type: int
    required: true
  grace:
    description:
      - Seconds that must have passed since the rotation away from it, so that backups of that time stay readable.
    type: int
    default: 86400
  backups:
    description: Folders made by M(certautopilot.ops.db_backup) on this host; those that need the version are named.
    type: list
    elements: path
    default: []
  destroy_key:
    description: Also destroy the key in the HSM. There is no way back.
    type: bool
    default: false
  check_value:
    description: The key's check value, six hex characters as RV(certautopilot.ops.kek_info#module:versions) shows it.
    type: str
    aliases: [fingerprint]
extends_documentation_fragment:
  - certautopilot.ops._attributes
  - certautopilot.ops._attributes.changes
  - certautopilot.ops._mongodb
  - certautopilot.ops._provider
"""

EXAMPLES = r"""
---
- name: Predict whether version 1 could be retired
  certautopilot.ops.kek_remove:
    version: 1
  check_mode: true
  become: true

- name: Retire version 1
  certautopilot.ops.kek_remove:
    version: 1
    backups: [/var/backups/certautopilot/pre-migration]
  become: true

- name: Destroy its key in the HSM
  certautopilot.ops.kek_remove:
    version: 1
    destroy_key: true
    check_value: ff2531
  become: true
"""

RETURN = r"""
---
removed:
  description: What was removed, or would be in check mode.
  returned: success
  type: dict
  contains:
    version:
      description: KEK version.
      type: int
    state:
      description: State of its keystore row, V(destroyed) when its key material is gone too.
      type: str
    key_destroyed:
      description: Whether the key in the HSM was destroyed by this run.
      type: bool
    needed_by_backups:
      description: Folders of O(backups) that cannot be read without the version's key.
      type: list
      elements: str
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
    code: remove.in_use
    step: ""
    retryable: false
    hint: "rotate again, with from_version left out"
"""

from ansible_collections.certautopilot.ops.plugins.module_utils._module.arguments import with_installation
from ansible_collections.certautopilot.ops.plugins.module_utils._module.base import run_module
from ansible_collections.certautopilot.ops.plugins.module_utils._verbs import kek_remove

ARGUMENTS = with_installation(
    version={"type": "int", "required": True},
    grace={"type": "int", "default": 86400},
    backups={"type": "list", "elements": "path", "default": []},
    destroy_key={"type": "bool", "default": False, "no_log": False},
    check_value={"type": "str", "aliases": ["fingerprint"]},
)


def main() -> None:
    run_module(ARGUMENTS, kek_remove.Options, kek_remove.run)


if __name__ == "__main__":
    main()
