#!/usr/bin/python
# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
---
module: kek_info
short_description: Read the state of an installation's keys and records
version_added: 0.1.0
author:
  - The certautopilot.ops authors (@certautopilot-ops)
description:
  - Returns the install lock, the KEK versions, every envelope counted by version and field, the fleet, and any
    migration or rotation under way.
  - Reads only and, unless V(keys) is asked for, loads no key, so it works on a database whose provider does not match
    the configuration.
  - What is not gathered is returned as null, so that "nothing found" and "nobody looked" can be told apart.
options:
  gather:
    description:
      - What to read. Only V(envelopes) and V(digest) read the records, both together in one walk.
      - V(lock) is the install lock with RV(versions), RV(active), RV(migration) and RV(rotation).
      - V(fleet) is RV(fleet).
      - V(envelopes) is RV(envelopes), and the counts in RV(database).
      - V(journal) is RV(journal).
      - V(digest) is RV(database.digest), a SHA-256 over every record, to prove that a database stayed as it was. The
        counts in RV(database) come with it.
      - V(keys) is RV(keys). It logs in to the HSM.
    type: list
    elements: str
    choices: [lock, fleet, envelopes, journal, digest, keys]
    default: [lock, fleet, envelopes, journal]
  digest:
    description: Adds V(digest) to O(gather).
    type: bool
    default: false
  journal_head:
    description:
      - RV(journal.head) as an earlier run returned it, kept outside the database. It is looked for in the journal.
      - Whoever may write into the database can write the whole journal anew. This is what finds it.
    type: str
    default: ""
extends_documentation_fragment:
  - certautopilot.ops._attributes
  - certautopilot.ops._attributes.reads
  - certautopilot.ops._mongodb
  - certautopilot.ops._provider
"""

EXAMPLES = r"""
---
- name: Read the state of this host's installation
  certautopilot.ops.kek_info:
  become: true
  register: kek

- name: Read the newest heartbeat, and no record
  certautopilot.ops.kek_info:
    gather: [fleet]
  become: true
  register: beat
"""

RETURN = r"""
---
gathered:
  description: What was read, sorted.
  returned: success
  type: list
  elements: str
  sample: [envelopes, fleet, journal, lock]
server_time:
  description: The database server's clock, by which all times here are told.
  returned: success
  type: str
lock:
  description: The install lock, null where there is none.
  returned: success
  type: dict
  sample:
    provider: env
    installed_at: "2025-08-15T09:00:00Z"
    installed_by: service
    install_id: 98f0249bc3f440e8baeefbe00784a44a
versions:
  description: Keystore rows with version, provider, state, key facts, and whether kek_remove retired it for good.
  returned: success
  type: list
  elements: dict
keys:
  description: Each version's key as the HSM shows it today, beside the record of its making. Null where it is not asked
    for, and for provider V(env).
  returned: success
  type: list
  elements: dict
  contains:
    version:
      description: KEK version.
      type: int
    there:
      description: Whether the token holds the key.
      type: bool
    problem:
      description: Code of what is wrong where it does not.
      type: str
    recorded:
      description: Record of its making, null for a key of a release before 0.4.0.
      type: dict
    drift:
      description: What is otherwise today than in the record, such as an attribute, a firmware or a serial number. Null
        where there is nothing to compare.
      type: list
      elements: dict
  sample:
    - version: 1
      there: true
      problem: ""
      recorded: {version: 1, label: certautopilot-kek-v1}
      drift:
        - what: device.firmware
          was: "2.5"
          is: "2.6"
damaged:
  description: Rows of the keystore, and of the install lock, with a value of another type than it must have; each with
    place, field and reason. They are left out of the rest, and every other module refuses them.
  returned: success
  type: list
  elements: dict
  sample:
    - place: kek_versions 'active'
      field: version
      reason: kek_versions 'active' has a str as version, expected a whole number
active:
  description: The version that seals new writes and the epoch that grows with each swap, null where there is none.
  returned: success
  type: dict
  sample:
    version: 1
    epoch: 1
envelopes:
  description: Every envelope of every collection, counted.
  returned: success
  type: dict
  contains:
    total:
      description: How many.
      type: int
    by_version:
      description: KEK version to count.
      type: dict
    by_field:
      description: Field and count.
      type: list
      elements: dict
    outside_catalogue:
      description: Envelopes outside the catalogue, by collection and field.
      type: list
      elements: str
    anomalies:
      description: Damaged or contradictory envelopes, each with place, code and reason.
      type: list
      elements: dict
fleet:
  description: Processes of the product by their heartbeats.
  returned: success
  type: dict
  contains:
    live:
      description: How many are live, that is, have a heartbeat at most 120 seconds old by the database server's clock.
      type: int
    newest_heartbeat:
      description: Instant of the newest heartbeat, empty when there is none.
      type: str
    processes:
      description: One entry for each process.
      type: list
      elements: dict
database:
  description: Name, number of documents by collection, whether it is empty, and RV(database.digest) when asked for.
    All but the name is null where no record was read.
  returned: success
  type: dict
  contains:
    name:
      description: Name of the database.
      type: str
    views:
      description: Names of views and time series. They hold no records and are neither exported nor compared.
      type: list
      elements: str
    documents:
      description: Records outside the bookkeeping collections.
      type: int
    collections:
      description: Collection to count.
      type: dict
    empty:
      description: No record, no lock, no keystore row.
      type: bool
    digest:
      description: SHA-256 over every record in hex, with V(digest) in O(gather).
      type: str
configured:
  description: What the files of this host say, the provider and the KEK versions whose keys they hold. No key is in it.
  returned: success
  type: dict
  sample:
    provider: env
    kek_versions: [1, 2]
turn:
  description: Run that has the turn to migrate this database, as M(certautopilot.ops.migration_turn) tells it. V(null)
    for none.
  returned: success
  type: dict
dropping:
  description: Whether M(certautopilot.ops.db_drop) has begun to drop the database, and has not ended.
  returned: success
  type: bool
migration:
  description: The import this database came from, with its state, null where there is none.
  returned: success
  type: dict
rotation:
  description:
    - The latest rotation, null where there was none. While a rotation runs, this is it. With id, state (V(planning),
      V(rewrapping), V(verifying), V(ready), V(swapping), V(settling), V(complete) or V(cancelled)), from_versions,
      to_version, compromised, rewrapped, remaining, conflicts, failures, percent of the envelopes in its plan, rate in
      envelopes a second, eta_s (null where unknown), started_at and updated_at.
  returned: success
  type: dict
journal:
  description:
    - What this collection did to the database, checked, null where it was not gathered. Each entry has the hash of the
      one before it, so that one which was altered or removed is found. No proof against whoever may write into the
      database, unless O(journal_head) was kept elsewhere.
  returned: success
  type: dict
  contains:
    entries:
      description: How many.
      type: int
    head:
      description: Number and hash of the last entry, as V(7:5f2c…), null where there is none. Keep it.
      type: str
    damaged:
      description: A sentence for each entry that is not as it was written, and for O(journal_head) where it is not
        there.
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
    code: database.unreachable
    step: ""
    retryable: false
    hint: "run it again when the database answers"
"""

from ansible_collections.certautopilot.ops.plugins.module_utils._module.arguments import with_installation
from ansible_collections.certautopilot.ops.plugins.module_utils._module.base import run_module
from ansible_collections.certautopilot.ops.plugins.module_utils._verbs import kek_info

ARGUMENTS = with_installation(
    gather={
        "type": "list",
        "elements": "str",
        "choices": ["lock", "fleet", "envelopes", "journal", "digest", "keys"],
        "default": ["lock", "fleet", "envelopes", "journal"],
    },
    digest={"type": "bool", "default": False},
    journal_head={"type": "str", "default": ""},
)


def main() -> None:
    run_module(ARGUMENTS, kek_info.Options, kek_info.run)


if __name__ == "__main__":
    main()
