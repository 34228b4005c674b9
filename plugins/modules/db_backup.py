#!/usr/bin/python
# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
---
module: db_backup
short_description: Back up a database and prove that the backup decrypts
version_added: 0.1.0
author:
  - The certautopilot.ops authors (@certautopilot-ops)
description:
  - Writes a dump in the folder format of mongodump, reads it back, counts it, and opens every envelope in it with
    the installation's KEK.
  - Only then does the folder get its name. The source is only read; an old backup is never overwritten.
  - A KEK in an HSM is not in the backup; keep the HSM's own backup with it, from the same moment. C(secrets.env) is
    in it where O(recipients) say who may open it.
options:
  dest:
    description: Folder of the backup. It must not hold a backup of another state of the database.
    type: path
    required: true
  recipients:
    description:
      - Public keys (C(age1...)) to which O(secrets_file) is encrypted into the backup, as C(secrets.env.age).
      - Without any it is left out, with a warning, because a copy in clear beside the dump would open all of it.
    type: list
    elements: str
    default: []
  encrypt:
    description:
      - What is encrypted to O(recipients). V(secrets) is O(secrets_file) alone; the dump is in clear then, and
        C(mongorestore) reads it as it is.
      - V(all) is the dump and the kept configuration as well, one age file for each file, C(.age) behind its name; no
        plaintext reaches the disk. M(certautopilot.ops.db_restore) reads it with the identity.
      - This host cannot open again what it encrypted. With V(all) every envelope is opened on its way into the
        encryption, digests are taken of the very bytes that go into it, and what is read back is the encrypted files.
      - C(backup.json) stays in clear. It tells names of collections, counts and digests.
    type: str
    choices: [secrets, all]
    default: secrets
  keep_config:
    description: Put a copy of O(config_file) beside the dump, encrypted where O(encrypt=all).
    type: bool
    default: false
requirements:
  - pyrage >= 1.2
extends_documentation_fragment:
  - certautopilot.ops._attributes
  - certautopilot.ops._attributes.changes
  - certautopilot.ops._mongodb
  - certautopilot.ops._provider
seealso:
  - module: certautopilot.ops.db_restore
  - module: certautopilot.ops.data_export
"""

EXAMPLES = r"""
---
- name: Back up before a migration
  certautopilot.ops.db_backup:
    dest: /var/backups/certautopilot/pre-migration
    recipients: ["{{ backup_officer_age_key }}"]
  become: true

- name: Back up so that the backup officer alone can read any of it
  certautopilot.ops.db_backup:
    dest: /var/backups/certautopilot/nightly
    recipients: ["{{ backup_officer_age_key }}"]
    encrypt: all
  become: true
"""

RETURN = r"""
---
manifest:
  description: The backup's manifest, also written to C(backup.json).
  returned: success
  type: dict
  contains:
    documents:
      description: Documents in the backup.
      type: int
    envelopes:
      description: Envelopes in the backup that were opened.
      type: int
    collections:
      description: Collection to file, count and SHA-256 of its documents.
      type: dict
    secrets:
      description: The encrypted secrets file, its name, SHA-256 and recipients; absent where it was left out.
      type: dict
    source_digest:
      description: SHA-256 over every record of the source.
      type: str
    files:
      description: Path of each file in the folder to its SHA-256 as it lies there, of all but C(backup.json).
      type: dict
    recipients:
      description: To whom the whole backup is encrypted; absent where it is not.
      type: list
      elements: str
manifest_sha256:
  description: SHA-256 of C(backup.json). Keep it elsewhere and give it to M(certautopilot.ops.db_restore), which then
    refuses a backup that somebody made anew.
  returned: success, but not in check mode when there is no backup yet
  type: str
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
    code: backup.exists
    step: ""
    retryable: false
    hint: "choose another `dest`; an old backup is never overwritten"
"""

from ansible_collections.certautopilot.ops.plugins.module_utils._module.arguments import with_installation
from ansible_collections.certautopilot.ops.plugins.module_utils._module.base import run_module
from ansible_collections.certautopilot.ops.plugins.module_utils._verbs import db_backup

ARGUMENTS = with_installation(
    dest={"type": "path", "required": True},
    recipients={"type": "list", "elements": "str", "default": []},
    encrypt={"type": "str", "choices": ["secrets", "all"], "default": "secrets"},
    keep_config={"type": "bool", "default": False},
)


def main() -> None:
    run_module(ARGUMENTS, db_backup.Options, db_backup.run, needs=("pyrage",))


if __name__ == "__main__":
    main()
