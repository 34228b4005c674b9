#!/usr/bin/python
# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
---
module: migration_accept
short_description: Accept a migration after its equality proof
version_added: 0.1.0
author:
  - The certautopilot.ops authors (@certautopilot-ops)
description:
  - Marks the import of this database as accepted, so that the destination may serve and nothing is imported over
    its newer records.
  - Refused unless the import was proven complete and equal.
options:
  state:
    description:
      - V(accepted) marks the import, V(withdrawn) takes that back after the destination was stopped and the source
        started again.
      - After V(withdrawn) the destination may be imported into again; what it wrote meanwhile is then overwritten.
    type: str
    choices: [accepted, withdrawn]
    default: accepted
  source_install_id:
    description: Id of the source installation, needed only where the database holds more than one import.
    type: str
extends_documentation_fragment:
  - certautopilot.ops._attributes
  - certautopilot.ops._attributes.changes
  - certautopilot.ops._mongodb
  - certautopilot.ops._provider
seealso:
  - module: certautopilot.ops.data_import
"""

EXAMPLES = r"""
---
- name: Accept the migration
  certautopilot.ops.migration_accept:
  become: true

- name: Take it back, the source serves again
  certautopilot.ops.migration_accept:
    state: withdrawn
  become: true
"""

RETURN = r"""
---
migration:
  description: The import record.
  returned: success
  type: dict
  sample:
    source_install_id: 98f0249bc3f440e8baeefbe00784a44a
    state: accepted
    records: 500
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
    code: migration.not_proven
    step: ""
    retryable: false
    hint: "run data_import with `mode: verify` first"
"""

from ansible_collections.certautopilot.ops.plugins.module_utils._module.arguments import with_installation
from ansible_collections.certautopilot.ops.plugins.module_utils._module.base import run_module
from ansible_collections.certautopilot.ops.plugins.module_utils._verbs import migration_accept

ARGUMENTS = with_installation(
    state={"type": "str", "choices": ["accepted", "withdrawn"], "default": "accepted"},
    source_install_id={"type": "str"},
)


def main() -> None:
    run_module(ARGUMENTS, migration_accept.Options, migration_accept.run)


if __name__ == "__main__":
    main()
