#!/usr/bin/python
# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
---
module: db_restore
short_description: Restore a dump into an empty database and prove it equal
version_added: 0.1.0
author:
  - The certautopilot.ops authors (@certautopilot-ops)
description:
  - Restores what M(certautopilot.ops.db_backup) made, in clear or encrypted, and what C(mongodump) makes. That is its
    folder, its folder with C(--gzip), and its C(--archive) file with and without C(--gzip).
  - Reads the whole dump before it writes anything. Records travel as the bytes that they are in the dump. At the end
    the database is read once, and what is there must be what the dump has, or the module fails.
  - The database must be empty. An interrupted restore is run again with the same O(src); until it has ended, the other
    modules refuse to work on the database.
  - Options of collections come first, records next, and indexes, validators and views last. What the server refuses of
    these is named in a warning and in RV(restored.refused).
  - C(secrets.env) is not restored. Where it is in the backup, C(age --decrypt) opens it with the identity.
options:
  src:
    description: Folder of the backup or dump, or the archive file.
    type: path
    required: true
  identity_file:
    description: The age identity that opens an encrypted backup, mode C(0600).
    type: path
  from_database:
    description: Name of the database in the dump, where the dump has several. The database that is restored into may
      have another name.
    type: str
  manifest_sha256:
    description: What M(certautopilot.ops.db_backup) returned under this name. Any other backup is refused, and so is
      a dump that has no C(backup.json).
    type: str
requirements:
  - pyrage >= 1.2
notes:
  - A folder of C(mongodump) without C(--gzip) has no digests. What was altered in it without breaking the shape of a
    document cannot be noticed; archives have a CRC for each collection, and packed files one for each file.
  - Collections of the server (C(system.)), time series, and other databases in the dump are left, each with a warning.
    An C(oplog.bson) is not replayed.
extends_documentation_fragment:
  - certautopilot.ops._attributes
  - certautopilot.ops._attributes.changes
  - certautopilot.ops._mongodb
  - certautopilot.ops._provider
seealso:
  - module: certautopilot.ops.db_backup
  - module: certautopilot.ops.kek_verify
"""

EXAMPLES = r"""
---
- name: Restore a backup
  certautopilot.ops.db_restore:
    src: /var/backups/certautopilot/pre-migration
    manifest_sha256: "{{ noted_elsewhere }}"
  become: true

- name: Restore a backup that is encrypted as a whole
  certautopilot.ops.db_restore:
    src: /var/backups/certautopilot/nightly
    identity_file: /etc/certautopilot/backup-identity
  become: true

- name: Restore an archive of mongodump into a database of another name
  certautopilot.ops.db_restore:
    src: /var/backups/certautopilot.archive.gz
    mongodb_database: certautopilot_restored
    config_file: /dev/null
  become: true
"""

RETURN = r"""
---
restored:
  description: What was in the dump and is in the database now, or would be in check mode.
  returned: success
  type: dict
  contains:
    form:
      description: V(backup) for a backup of ours, V(folder) or V(archive) for a dump of C(mongodump).
      type: str
    packed:
      description: Whether the dump is packed with gzip.
      type: bool
    encrypted:
      description: Whether the dump is encrypted.
      type: bool
    from_database:
      description: Name of the database in the dump.
      type: str
    documents:
      description: Documents in the dump that are restored.
      type: int
    collections:
      description: Collection to how many documents it has.
      type: dict
    views:
      description: Names of the views.
      type: list
      elements: str
    left:
      description: What is in the dump and is not restored, and why.
      type: list
      elements: str
    refused:
      description: Options, indexes, validators and views that the server refused or tells otherwise.
      type: list
      elements: str
    records_digest:
      description: SHA-256 over every record of the database, as M(certautopilot.ops.db_backup) returns it in
        RV(certautopilot.ops.db_backup#module:manifest.source_digest). None in check mode, and where an interrupted
        run had compared the records already.
      type: str
differing:
  description: Collections that do not have what the dump has, with the counts of both.
  returned: on failure when records differ
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
    code: restore.not_empty
    step: ""
    retryable: false
    hint: "restore into a new database; nothing was written"
"""

from ansible_collections.certautopilot.ops.plugins.module_utils._module.arguments import with_installation
from ansible_collections.certautopilot.ops.plugins.module_utils._module.base import run_module
from ansible_collections.certautopilot.ops.plugins.module_utils._verbs import db_restore

ARGUMENTS = with_installation(
    src={"type": "path", "required": True},
    identity_file={"type": "path"},
    from_database={"type": "str"},
    manifest_sha256={"type": "str"},
)


def main() -> None:
    run_module(ARGUMENTS, db_restore.Options, db_restore.run, needs=("pyrage",))


if __name__ == "__main__":
    main()
