#!/usr/bin/python
# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
---
module: data_export
short_description: Export everything that must survive as an encrypted bundle
version_added: 0.1.0
author:
  - The certautopilot.ops authors (@certautopilot-ops)
description:
  - Opens every record with the installation's KEK and writes all of them into a file that is encrypted with age to
    the destination's recipients. A sealed manifest is beside it.
  - No record of the source is written; where the server keeps an oplog, a document is put into C(locks) and removed at
    once, as a mark. No plaintext reaches a disk. An unchanged source exported again to the same folder changes nothing.
  - Beside the bundle a C(source.index) is left, of the records that were read. With it, an export with O(base) holds
    only what changed since.
  - Fails where an envelope does not open or is outside the catalogue, and names it.
options:
  dest:
    description: Folder of the bundle, C(records.age) and C(manifest.json). The index beside them need not travel.
    type: path
    required: true
  recipients:
    description: Public keys (C(age1...)) that may open the bundle;
      RV(certautopilot.ops.bundle_identity#module:recipient) of the destination.
    type: list
    elements: str
    required: true
  carry:
    description: Values of O(secrets_file) that travel inside the encrypted part, because records depend on them.
    type: list
    elements: str
    default: [CERTAUTOPILOT_API_KEY_PEPPER, CERTAUTOPILOT_JWT_SECRET]
  base:
    description:
      - Folder of a whole bundle that this module wrote on this host. Only what changed since is exported then, to be
        imported on top of it; where the server keeps an oplog, nothing else is read.
      - Where no bundle there fits, everything is exported, and a warning says why.
    type: path
  signing_key_file:
    description: Private key of Ed25519 in PEM, mode C(0600). The manifest is signed with it, into
      C(manifest.json.sig) beside it, for importers who know the public key.
    type: path
requirements:
  - pyrage >= 1.2
extends_documentation_fragment:
  - certautopilot.ops._attributes
  - certautopilot.ops._attributes.changes
  - certautopilot.ops._mongodb
  - certautopilot.ops._provider
seealso:
  - module: certautopilot.ops.data_import
  - module: certautopilot.ops.bundle_identity
"""

EXAMPLES = r"""
---
- name: Export for the destination
  certautopilot.ops.data_export:
    dest: /var/lib/certautopilot-migration/bundle
    recipients: ["{{ identity.recipient }}"]
  become: true
"""

RETURN = r"""
---
manifest:
  description: The manifest of the bundle.
  returned: success
  type: dict
  contains:
    bundle_id:
      description: Id of the bundle.
      type: str
    base:
      description: Id of the bundle on top of which it holds what changed since; empty for one that holds everything.
      type: str
    found_by:
      description: How it was found out what to hold, V(everything), V(oplog) or V(raw_read) of all records.
      type: str
    records:
      description: How many records it holds.
      type: int
    removed:
      description: Collection to count of records that are gone since O(base) was made.
      type: dict
    collections:
      description: Collection to count.
      type: dict
    sealed:
      description: Sealed field to count.
      type: dict
    layout:
      description: Layout of the envelopes at the source.
      type: str
    projects:
      description: Projects by id and name.
      type: list
      elements: dict
    by_project:
      description: Id of a project to count of its records, counted as they were written; an empty id for those of none.
      type: dict
    expiring:
      description:
        - The certificates of the bundle that run out within C(within_days) of the export, C(count) of them, and of the
          soonest in C(certificates) C(id), C(name), C(project) (its id) and C(not_after). C(by_project) counts all of
          them by the id of their project.
      type: dict
    metadata:
      description:
        - Collection to C(options) and C(indexes) that travel with its records, and to what is C(left) behind, by
          name.
      type: dict
    source_digest:
      description: SHA-256 over every record of the source; empty where not all of them were read.
      type: str
    records_sha256:
      description: SHA-256 of C(records.age).
      type: str
manifest_sha256:
  description: SHA-256 of the manifest file, for the importer. In check mode of the one that is there, empty for none.
  returned: success
  type: str
secrets_left:
  description: Names of variables of secrets.env that do not travel, because O(carry) does not name them.
  returned: success
  type: list
  elements: str
elapsed_s:
  description: Seconds that it took on this host.
  returned: success
  type: float
  sample: 1.204
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
    code: record.unreadable
    step: ""
    retryable: false
    hint: "repair or restore the listed records"
"""

from ansible_collections.certautopilot.ops.plugins.module_utils._module.arguments import with_installation
from ansible_collections.certautopilot.ops.plugins.module_utils._module.base import run_module
from ansible_collections.certautopilot.ops.plugins.module_utils._verbs import data_export

ARGUMENTS = with_installation(
    dest={"type": "path", "required": True},
    recipients={"type": "list", "elements": "str", "required": True},
    carry={
        "type": "list",
        "elements": "str",
        "default": ["CERTAUTOPILOT_API_KEY_PEPPER", "CERTAUTOPILOT_JWT_SECRET"],
    },
    base={"type": "path"},
    signing_key_file={"type": "path", "no_log": False},
)


def main() -> None:
    run_module(ARGUMENTS, data_export.Options, data_export.run, needs=("pyrage",), timed=True)


if __name__ == "__main__":
    main()
