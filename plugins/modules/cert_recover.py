#!/usr/bin/python
# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
---
module: cert_recover
short_description: Bring forgotten certificates from an old installation into a running one
version_added: 0.1.0
author:
  - The certautopilot.ops authors (@certautopilot-ops)
description:
  - Brings certificates with their private keys from an old installation into another one, which may go on running. The
    key is opened under the old KEK, sealed anew under the active KEK of the destination, and proven. That is, each new
    record is read back, opened, and compared with the old one.
  - The old installation is read from its database, from a backup of M(certautopilot.ops.db_backup), or from a folder or
    archive of C(mongodump). It is only read, no lease or note is written to it.
  - What is in the way is refused before anything is written. A certificate that is there already and
    is the same one stays as it is, whatever the product has changed in its record since. It is never overwritten.
  - A certificate keeps its id. Its project must be at the destination, or O(into_project) names another one.
  - What is inserted before a failure is taken back. After a crash, run it again with the same options.
  - No lease but that of rotations is taken, so that no rotation is led while a key is sealed. The journal of the
    destination's database has an entry for each run that wrote something.
options:
  src:
    description:
      - Folder of a backup or dump, or the archive file of C(mongodump).
      - Where it is left out, the old database is read, which the options with C(source_) name.
    type: path
  identity_file:
    description:
      - The age identity that opens an encrypted backup, mode C(0600).
      - Where the backup has C(secrets.env.age) and O(source_secrets_file) is left out, the KEKs of provider V(env) are
        taken from that.
    type: path
  from_database:
    description: Name of the database in the dump, where the dump has several.
    type: str
  manifest_sha256:
    description: What M(certautopilot.ops.db_backup) returned under this name. Any other backup is refused, and so is
      a dump that has no C(backup.json).
    type: str
  names:
    description: Certificates to bring, by name, common name or id. One of O(names), O(ids), O(serials) and O(projects)
      is needed at least; what fits all that are given is brought.
    type: list
    elements: str
    default: []
  ids:
    description: Certificates to bring, by id.
    type: list
    elements: str
    default: []
  serials:
    description: Certificates to bring, by serial number, in hex; colons and upper case do not matter.
    type: list
    elements: str
    default: []
  projects:
    description: Certificates of these projects of the old installation, by id, slug or name. At most 1000 certificates
      are brought in one run.
    type: list
    elements: str
    default: []
  into_project:
    description: Project of the destination that the certificates are to be of, by id, slug or name, where it is not the
      one with the same id as at the source.
    type: str
  existing:
    description: What to do where a certificate is at the destination and differs, in its certificate, its key, or the
      project that O(into_project) names. V(refuse) brings nothing. V(keep) leaves these as they are and brings the
      others.
    type: str
    choices: [refuse, keep]
    default: refuse
  references:
    description:
      - What to do with records that a certificate to be brought refers to and that the destination lacks, such as an
        ACME account. A field of the first level that ends in C(_id) or C(_ids) is a reference if it is the C(_id) of a
        record of the old installation.
      - V(refuse) brings nothing and lists them. V(bring) brings them as well, sealed anew, and what they refer to.
        V(leave) brings the certificates without them.
      - Projects, users, API keys and other certificates are never brought by way of a reference.
    type: str
    choices: [refuse, bring, leave]
    default: refuse
requirements:
  - pyrage >= 1.2
notes:
  - Where the old installation and the destination are the same one, by the id in their install locks, its own keys open
    a backup of it, and no O(source_secrets_file) is needed. So a certificate that was deleted by mistake comes back.
extends_documentation_fragment:
  - certautopilot.ops._attributes
  - certautopilot.ops._attributes.changes
  - certautopilot.ops._mongodb
  - certautopilot.ops._provider
  - certautopilot.ops._source_installation
seealso:
  - module: certautopilot.ops.cert_export
  - module: certautopilot.ops.db_backup
  - module: certautopilot.ops.db_restore
"""

EXAMPLES = r"""
---
- name: Bring one certificate from the backup that a migration took
  certautopilot.ops.cert_recover:
    src: /var/backups/certautopilot/pre-migration
    identity_file: /etc/certautopilot/backup-identity
    names: [shop.example.com]
  become: true

- name: See what would be brought from an archive of mongodump
  certautopilot.ops.cert_recover:
    src: /var/backups/capApp.archive.gz
    source_secrets_file: /var/backups/old-secrets.env
    serials: ["0A:1B:2C"]
    into_project: payments
  check_mode: true
  diff: true
  become: true

- name: Bring what a project had from the stopped old database, keys in the old HSM
  certautopilot.ops.cert_recover:
    source_mongodb_uri_file: /root/old/uri
    source_mongodb_database: certautopilot
    source_secrets_file: /root/old/secrets.env
    source_pkcs11_module_path: /usr/lib/softhsm/libsofthsm2.so
    source_pkcs11_token_label: certautopilot-old
    projects: [payments]
    existing: keep
  become: true
"""

RETURN = r"""
---
certificates:
  description: Every certificate that was named.
  returned: success
  type: list
  elements: dict
  contains:
    id:
      description: Id of the certificate, the same on both sides.
      type: str
    name:
      description: Name of the certificate.
      type: str
    project:
      description: Id of its project at the destination, empty where it names none, or was kept.
      type: str
    serial_number:
      description: Serial number in hex.
      type: str
    not_after:
      description: RFC 3339 instant it expires at.
      type: str
    has_key:
      description: Whether the source keeps its private key.
      type: bool
    outcome:
      description: C(recovered), C(completed) where only its key was missing, C(present) where it was there already, or
        C(kept) where another one is there. In check mode what it would be.
      type: str
    found:
      description: What is there instead, of a certificate that was kept.
      type: str
    differs:
      description: Fields in which a record that was there already is not as at the source. They stay as they are.
      type: list
      elements: str
counts:
  description: How many certificates had which outcome.
  returned: success
  type: dict
  sample:
    recovered: 1
    completed: 0
    present: 0
    kept: 0
records:
  description: How many records were written and proven, certificates, keys and what they refer to.
  returned: success
  type: int
brought_beside:
  description: Records that were brought because a certificate refers to them, as collection and id.
  returned: success
  type: list
  elements: str
kek_version:
  description: KEK version of the destination that seals the keys.
  returned: success
  type: int
source:
  description: Where the certificates came from.
  returned: success
  type: dict
  contains:
    read_from:
      description: The database or dump.
      type: str
    installation:
      description: Id of the old installation.
      type: str
    provider:
      description: Its KEK provider.
      type: str
    is_served:
      description: Whether live processes serve the old database, by their heartbeats.
      type: bool
conflicts:
  description: Certificates that are at the destination and differ.
  returned: on failure when there are some
  type: list
  elements: dict
projects:
  description: The destination's projects.
  returned: on failure when the project of a certificate is not there
  type: list
  elements: str
references:
  description: Records that the certificates refer to and that the destination lacks.
  returned: on failure when there are some
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
    code: recover.exists
    step: ""
    retryable: false
    hint: "nothing was written; look at them there"
"""

from ansible_collections.certautopilot.ops.plugins.module_utils._module.arguments import SOURCE, with_installation
from ansible_collections.certautopilot.ops.plugins.module_utils._module.base import run_module
from ansible_collections.certautopilot.ops.plugins.module_utils._verbs import cert_recover

ARGUMENTS = with_installation(
    **SOURCE,
    src={"type": "path"},
    identity_file={"type": "path"},
    from_database={"type": "str"},
    manifest_sha256={"type": "str"},
    names={"type": "list", "elements": "str", "default": []},
    ids={"type": "list", "elements": "str", "default": []},
    serials={"type": "list", "elements": "str", "default": []},
    projects={"type": "list", "elements": "str", "default": []},
    into_project={"type": "str"},
    existing={"type": "str", "choices": ["refuse", "keep"], "default": "refuse"},
    references={"type": "str", "choices": ["refuse", "bring", "leave"], "default": "refuse"},
)


def main() -> None:
    run_module(ARGUMENTS, cert_recover.Options, cert_recover.run, needs=("pyrage",), source=True)


if __name__ == "__main__":
    main()
