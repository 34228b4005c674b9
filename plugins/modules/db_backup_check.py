#!/usr/bin/python
# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
---
module: db_backup_check
short_description: Check that a backup is whole and opens, and where else its keys are
version_added: 0.2.0
author:
  - The certautopilot.ops authors (@certautopilot-ops)
description:
  - Checks every file of a backup of M(certautopilot.ops.db_backup) against the digests in it, reads its documents, and
    opens every envelope with the keys of the installation. Whether it is of the database as it is now is told as well.
  - Says for each KEK version that the backup needs in which places apart from the installation's own files the key is.
    A key counts only after it was used. It opens the canary of its version, or it shows the check value of the key that
    opened the backup where there is no canary.
  - Reads only, also outside check mode.
options:
  src:
    description: Folder of the backup.
    type: path
    required: true
  identity_file:
    description: The age identity that opens what is encrypted in the backup, mode C(0600). With it the secrets
      file in the backup is looked at as well.
    type: path
  manifest_sha256:
    description: What M(certautopilot.ops.db_backup) returned under this name. Any other backup is refused.
    type: str
  install_id:
    description: Id of the installation that the backup must be of.
    type: str
  opened:
    description: Open every envelope, compare with the database, and look for the keys. Without it only the digests
      of the files are checked, which needs neither a key nor a database.
    type: bool
    default: true
  escrow_file:
    description: A copy of C(secrets.env) that is kept elsewhere, mode C(0600). One whose name ends in C(.age) is opened
      with O(identity_file).
    type: path
requirements:
  - pyrage >= 1.2
extends_documentation_fragment:
  - certautopilot.ops._attributes
  - certautopilot.ops._attributes.reads
  - certautopilot.ops._mongodb
  - certautopilot.ops._provider
seealso:
  - module: certautopilot.ops.db_backup
  - module: certautopilot.ops.db_restore
"""

EXAMPLES = r"""
---
- name: Is it whole, does it open, and who else has its key?
  certautopilot.ops.db_backup_check:
    src: /var/backups/certautopilot/last
    escrow_file: /mnt/escrow/secrets.env
  become: true
  register: checked

- name: Only the digests, on a host that has no key
  certautopilot.ops.db_backup_check:
    src: /srv/backups/certautopilot/last
    manifest_sha256: "{{ noted_elsewhere }}"
    opened: false
    config_file: /dev/null
    secrets_file: /dev/null
  become: true
"""

RETURN = r"""
---
backup:
  description: What the backup says of itself, after its digests were checked.
  returned: success
  type: dict
  contains:
    created_at:
      description: When it was begun.
      type: str
    database:
      description: Name of the database.
      type: str
    provider:
      description: Provider of the installation.
      type: str
    install_id:
      description: Id of the installation.
      type: str
    documents:
      description: How many documents it has.
      type: int
    envelopes:
      description: How many envelopes.
      type: int
    kek_versions:
      description: The KEK versions that seal them.
      type: list
      elements: int
    source_digest:
      description: SHA-256 over the records in it.
      type: str
    manifest_sha256:
      description: SHA-256 of its C(backup.json).
      type: str
    encrypted:
      description: Whether all of it is encrypted.
      type: bool
    secrets_sealed:
      description: Whether the secrets file is in it.
      type: bool
    files:
      description: Path in the folder to SHA-256 of the file.
      type: dict
opened:
  description: How many envelopes opened. V(null) where none was tried.
  returned: success
  type: int
of_now:
  description: Whether the database has the records of the backup. V(null) where it was not asked, or is not of that
    installation any more.
  returned: success
  type: bool
keys:
  description: KEK version to the places that have its key, apart from the installation's own files. V(backup) is the
    secrets file in the backup, V(escrow) is O(escrow_file), V(token) is the HSM.
  returned: success
  type: dict
  sample: {"1": ["backup"]}
only_here:
  description: KEK versions whose key is in no other place that was looked at.
  returned: success
  type: list
  elements: int
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
    code: backup.damaged
    step: ""
    retryable: false
    hint: "keep it aside and take a new backup in another `dest`; this one cannot be relied on"
"""

from ansible_collections.certautopilot.ops.plugins.module_utils._module.arguments import with_installation
from ansible_collections.certautopilot.ops.plugins.module_utils._module.base import run_module
from ansible_collections.certautopilot.ops.plugins.module_utils._verbs import db_backup_check

ARGUMENTS = with_installation(
    src={"type": "path", "required": True},
    identity_file={"type": "path"},
    manifest_sha256={"type": "str"},
    install_id={"type": "str"},
    opened={"type": "bool", "default": True},
    escrow_file={"type": "path"},
)


def main() -> None:
    run_module(ARGUMENTS, db_backup_check.Options, db_backup_check.run, needs=("pyrage",))


if __name__ == "__main__":
    main()
