#!/usr/bin/python
# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
---
module: db_drop
short_description: Drop the database of a retired installation that is backed up
version_added: 0.2.0
author:
  - The certautopilot.ops authors (@certautopilot-ops)
description:
  - Drops every collection of an installation's database. There is no way back but a restore.
  - Refused unless the database's name was typed, the installation is the one that is meant, no process of the product
    lives, nothing else has the database, and its records are those of the backup.
  - A run that was killed is gone on with by the next one.
options:
  confirm:
    description: The database's name, typed by whoever means it.
    type: str
    required: true
  install_id:
    description: Id of the installation, as M(certautopilot.ops.kek_info) shows it.
    type: str
    required: true
  source_digest:
    description: Digest of the records of the backup that stays, as M(certautopilot.ops.db_backup_check) returns it.
    type: str
    required: true
extends_documentation_fragment:
  - certautopilot.ops._attributes
  - certautopilot.ops._attributes.changes
  - certautopilot.ops._mongodb
  - certautopilot.ops._provider
seealso:
  - module: certautopilot.ops.db_backup_check
"""

EXAMPLES = r"""
---
- name: Nothing of the old database stays
  certautopilot.ops.db_drop:
    confirm: certautopilot
    install_id: "{{ checked.backup.install_id }}"
    source_digest: "{{ checked.backup.source_digest }}"
  become: true
"""

RETURN = r"""
---
dropped:
  description: Name of the database, and the collections that it had.
  returned: success
  type: dict
  sample:
    database: certautopilot
    collections: [certificates, kek_install, locks]
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
    code: drop.not_backed_up
    step: ""
    retryable: false
    hint: "take a backup of the database as it is now"
"""

from ansible_collections.certautopilot.ops.plugins.module_utils._module.arguments import with_installation
from ansible_collections.certautopilot.ops.plugins.module_utils._module.base import run_module
from ansible_collections.certautopilot.ops.plugins.module_utils._verbs import db_drop

ARGUMENTS = with_installation(
    confirm={"type": "str", "required": True},
    install_id={"type": "str", "required": True},
    source_digest={"type": "str", "required": True},
)


def main() -> None:
    run_module(ARGUMENTS, db_drop.Options, db_drop.run)


if __name__ == "__main__":
    main()
