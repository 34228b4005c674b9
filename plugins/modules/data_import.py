#!/usr/bin/python
# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
---
module: data_import
short_description: Import a bundle and prove every record equal
version_added: 0.1.0
author:
  - The certautopilot.ops authors (@certautopilot-ops)
description:
  - Checks the whole bundle before it writes anything, seals each record under this installation's KEK with a fresh
    data key, keeps ids, and at the end opens every record again and compares keyed digests.
  - Either every record is equal, or the module fails and names those that are not. When it runs again it moves only
    what differs, and removes what the source no longer has.
  - The database must be empty, or hold an import of the same source that was not accepted.
  - Where everything is proven, a C(proven.index) is left in O(src). On top of it a bundle of changes can be imported,
    which costs what changed. It is refused where records of this database changed since they were proven.
options:
  src:
    description: Folder of the bundle.
    type: path
    required: true
  identity_file:
    description: The age identity that the bundle was encrypted to, mode C(0600).
    type: path
    required: true
  mode:
    description: V(import) writes what differs and proves; V(compare) only proves and writes no record. V(verify) is the
      old name of V(compare).
    type: str
    choices: [import, compare, verify]
    default: import
  manifest_sha256:
    description:
      - The digest that M(certautopilot.ops.data_export) returned under this name. It has to come by another way than
        the bundle, as a registered result does.
      - Without it, without O(sender_public_key) and without O(trust=bundle), a bundle is refused, because whoever knows
        the recipient can make one.
    type: str
  trust:
    description: V(digest) believes a bundle whose O(manifest_sha256) is given; V(bundle) believes what lies in O(src).
    type: str
    choices: [digest, bundle]
    default: digest
  carry:
    description: Names of secrets.env that may come with the bundle. Others in it are a refusal.
    type: list
    elements: str
    default: [CERTAUTOPILOT_API_KEY_PEPPER, CERTAUTOPILOT_JWT_SECRET]
  allow_older:
    description: Import a bundle that was made before the one that was imported last, which is refused otherwise.
    type: bool
    default: false
  base:
    description: Folder of the bundle on top of which a bundle of changes is imported; the import that proved it left an
      index there. Needed for such a bundle, and for no other.
    type: path
  sender_public_key:
    description: Public key of Ed25519 in PEM, of the sender who signed the bundle. It has to come by another way than
      the bundle. A bundle that it did not sign is refused.
    type: str
requirements:
  - pyrage >= 1.2
extends_documentation_fragment:
  - certautopilot.ops._attributes
  - certautopilot.ops._attributes.changes
  - certautopilot.ops._mongodb
  - certautopilot.ops._provider
seealso:
  - module: certautopilot.ops.data_export
  - module: certautopilot.ops.migration_accept
"""

EXAMPLES = r"""
---
- name: Import the bundle
  certautopilot.ops.data_import:
    src: /var/lib/certautopilot-migration/bundle
    identity_file: /var/lib/certautopilot-migration/identity
    manifest_sha256: "{{ hostvars['old.example.com'].exported.manifest_sha256 }}"
  become: true

- name: Prove again that every record is equal
  certautopilot.ops.data_import:
    src: /var/lib/certautopilot-migration/bundle
    identity_file: /var/lib/certautopilot-migration/identity
    manifest_sha256: "{{ hostvars['old.example.com'].exported.manifest_sha256 }}"
    mode: compare
  become: true
"""

RETURN = r"""
---
manifest:
  description: What the bundle holds, what was written, and the proof.
  returned: success, and on failure when records differ
  type: dict
  contains:
    records:
      description: Records of the source, and of the destination when the bundle has arrived.
      type: int
    equal:
      description: Records of which it is proven that they are equal.
      type: int
    equal_by:
      description:
        - The same, of the records in this bundle, in C(collection) by its name and in C(project) by its id, which is
          empty for records of none.
      type: dict
    opened:
      description: Records of the bundle that were opened again and compared by this run. The others of a bundle of
        changes were proven with O(base) and have not moved since.
      type: int
    unmoved_by:
      description: How that was found, V(oplog) or V(raw_read) of all records; empty for a bundle that holds everything.
      type: str
    base:
      description: Id of the bundle on top of which it was imported; empty for one that holds everything.
      type: str
    found_by:
      description: How the source was searched for what the bundle has to hold.
      type: str
    imported:
      description: Records written because they were missing.
      type: int
    updated:
      description: Records written because they differed.
      type: int
    unchanged:
      description: Records that were equal already.
      type: int
    deleted:
      description: Records removed because the source no longer has them.
      type: int
    different:
      description: Records that differ.
      type: list
      elements: str
    missing:
      description: Records that are missing.
      type: list
      elements: str
    extra:
      description: Records the bundle does not hold.
      type: list
      elements: str
    metadata:
      description: Collections, indexes and validators of the source, by collection and name.
      type: dict
      contains:
        made:
          description: What was missing and was made, or would be in check mode.
          type: list
          elements: str
        missing:
          description: What is still missing, because the server refused it; a warning says why.
          type: list
          elements: str
        different:
          description: What the destination has of its own, other than the source's. It is left as it is.
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
    code: bundle.damaged
    step: ""
    retryable: false
    hint: "copy it again and compare its SHA-256 with the manifest"
"""

from ansible_collections.certautopilot.ops.plugins.module_utils._module.arguments import with_installation
from ansible_collections.certautopilot.ops.plugins.module_utils._module.base import run_module
from ansible_collections.certautopilot.ops.plugins.module_utils._verbs import data_import

ARGUMENTS = with_installation(
    src={"type": "path", "required": True},
    identity_file={"type": "path", "required": True},
    mode={"type": "str", "choices": ["import", "compare", "verify"], "default": "import"},
    manifest_sha256={"type": "str"},
    trust={"type": "str", "choices": ["digest", "bundle"], "default": "digest"},
    carry={
        "type": "list",
        "elements": "str",
        "default": ["CERTAUTOPILOT_API_KEY_PEPPER", "CERTAUTOPILOT_JWT_SECRET"],
    },
    allow_older={"type": "bool", "default": False},
    base={"type": "path"},
    sender_public_key={"type": "str", "no_log": False},
)


def main() -> None:
    run_module(ARGUMENTS, data_import.Options, data_import.run, needs=("pyrage",), timed=True)


if __name__ == "__main__":
    main()
