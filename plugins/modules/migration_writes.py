#!/usr/bin/python
# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
---
module: migration_writes
short_description: Count what a destination has written since its migration was accepted
version_added: 0.2.0
author:
  - The certautopilot.ops authors (@certautopilot-ops)
description:
  - Says what would be lost if the source of a migration served again, by collection and by project.
  - Asks the oplog of the database server from the place that M(certautopilot.ops.migration_accept) noted. Where there
    is none, one read of every record is compared with O(index_file), and the counts are an upper bound, because they
    also have what the migration itself brought between its first proof and the acceptance.
  - Changes nothing. Where an oplog is asked, a mark is left in it by a document in C(locks) that is removed at once.
options:
  source_install_id:
    description: Id of the source installation, needed only where the database holds more than one import.
    type: str
  index_file:
    description: C(proven.index) that the role P(certautopilot.ops.migrate#role) kept.
    type: path
extends_documentation_fragment:
  - certautopilot.ops._attributes
  - certautopilot.ops._attributes.reads
  - certautopilot.ops._mongodb
  - certautopilot.ops._provider
seealso:
  - module: certautopilot.ops.migration_accept
"""

EXAMPLES = r"""
---
- name: What would be lost
  certautopilot.ops.migration_writes:
    index_file: /var/lib/certautopilot-migration/proven.index
  become: true
  register: lost
"""

RETURN = r"""
---
migration:
  description: The import record.
  returned: success
  type: dict
writes:
  description: What was written.
  returned: success
  type: dict
  contains:
    accepted:
      description: Whether the migration is accepted. Where it is not, nothing was looked for.
      type: bool
    found_by:
      description: V(oplog), V(index), V(unknown) where nothing can tell, empty where nothing was looked for.
      type: str
    exact:
      description: Whether the counts are exact. Otherwise they are an upper bound, or not known.
      type: bool
    records:
      description: How many records were written or removed. V(null) where nothing can tell.
      type: int
    collections:
      description: Collection to how many records were C(written) and are C(gone).
      type: dict
    projects:
      description: Id of a project to how many of its records were written; the empty name is for those of none.
      type: dict
    places:
      description: The first of these records, collection and id.
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
    code: migration.none
    step: ""
    retryable: false
    hint: "run data_import first"
"""

from ansible_collections.certautopilot.ops.plugins.module_utils._module.arguments import with_installation
from ansible_collections.certautopilot.ops.plugins.module_utils._module.base import run_module
from ansible_collections.certautopilot.ops.plugins.module_utils._verbs import migration_writes

ARGUMENTS = with_installation(source_install_id={"type": "str"}, index_file={"type": "path"})


def main() -> None:
    run_module(ARGUMENTS, migration_writes.Options, migration_writes.run)


if __name__ == "__main__":
    main()
