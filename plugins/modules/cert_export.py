#!/usr/bin/python
# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
---
module: cert_export
short_description: Export certificates from the database or the service's API as files
version_added: 0.1.0
author:
  - The certautopilot.ops authors (@certautopilot-ops)
description:
  - Writes certificates, chains and, when asked, private keys to O(dest), one folder per project and certificate, and
    an index of them, C(index.json) and C(index.csv).
  - Every key is compared with its certificate, and every chain is built and its signatures checked. A key that does not
    fit is not written.
  - What can be written is written. What cannot is listed in the index and in RV(failures), and the module fails at its
    end with C(export.incomplete).
  - Files that an earlier run wrote and that are not true any more are removed, by the index; nothing else is. A file
    of an earlier run stays while its certificate is the same, and so do certificates that O(projects) and the other
    filters did not choose this time.
  - Files are written atomically, by default C(0600) in C(0700) folders, and left alone where nothing in them would
    change.
  - Keys never appear in the result. A certificate whose key was made elsewhere, for a CSR of its owner's, gets no
    file that holds a key.
  - Keys are exported only where the certificate policy of the project, or else of the installation, allows key export
    and asks for no approval of downloads.
options:
  dest:
    description:
      - Folder to write to. It is of one installation by one road, database or API; a folder with the index of another
        one is refused.
    type: path
    required: true
  formats:
    description:
      - Files to write for each certificate, by the vendor's names. V(bundle.pkcs12) is PKCS#12 with key and chain,
        V(bundle.zip) holds all the others. Keys are PKCS#8.
      - V(bundle.p12) is the old name of V(bundle.pkcs12) and means the same; the file has the new name.
    type: list
    elements: str
    choices: [cert.pem, chain.pem, fullchain.pem, key.pem, bundle.pkcs12, bundle.zip, bundle.p12]
    default: [cert.pem, chain.pem, fullchain.pem]
  include_keys:
    description: Allow formats that hold private keys. The KEK is loaded only then.
    type: bool
    default: false
  override_key_export_policy:
    description:
      - Export keys though the certificate policy does not allow it, asks for an approval, or is not found. It is noted
        in the journal of the database before the first such key is written.
      - Refused with O(api_url), because the service heeds its policy itself.
    type: bool
    default: false
  passphrase_file:
    description: File with the passphrase of V(bundle.pkcs12), mode C(0600).
    type: path
  recipients:
    description:
      - Public keys (C(age1...)) to which every file that holds a private key is encrypted, with C(.age) behind its
        name. No plaintext of a key reaches the disk then.
    type: list
    elements: str
    default: []
  owner:
    description: User to whom the files belong, by name or number. Folders belong to the user that runs the module.
    type: str
  group:
    description: Group of files and folders, by name or number.
    type: str
  mode:
    description:
      - Mode of the files, in octal. It may let the group read, and all others where O(include_keys=false); nobody may
        write. Folders get the mode that lets the same users reach the files.
    type: raw
    default: "0600"
requirements:
  - pyrage >= 1.2
extends_documentation_fragment:
  - certautopilot.ops._attributes
  - certautopilot.ops._attributes.changes
  - certautopilot.ops._mongodb
  - certautopilot.ops._provider
  - certautopilot.ops._service_api
  - certautopilot.ops._certificate_filter
seealso:
  - module: certautopilot.ops.data_export
"""

EXAMPLES = r"""
---
- name: Export every certificate without keys
  certautopilot.ops.cert_export:
    dest: /var/backups/certautopilot/certificates
  become: true

- name: Export one project with keys
  certautopilot.ops.cert_export:
    dest: /var/backups/certautopilot/export
    projects: [payments]
    formats: [fullchain.pem, key.pem, bundle.pkcs12]
    include_keys: true
    passphrase_file: /etc/certautopilot/p12-passphrase
  become: true

- name: Export one project by the service's API
  certautopilot.ops.cert_export:
    api_url: https://certautopilot.example.com
    api_key_file: /etc/certautopilot/export-api-key
    api_ca_file: /etc/certautopilot/tls/ca.pem
    dest: /var/backups/certautopilot/by-api
    projects: [payments]
  become: true

- name: Export what expires within thirty days, keys encrypted to the web team
  certautopilot.ops.cert_export:
    dest: /srv/certificates
    formats: [fullchain.pem, key.pem]
    statuses: [active]
    expires_before: 30d
    include_keys: true
    recipients: ["{{ web_team_age_key }}"]
    group: www-data
    mode: "0640"
  become: true
"""

RETURN = r"""
---
certificates:
  description: The first 1000 certificates that were chosen, or would be in check mode; the index has all.
  returned: success, or when some could not be exported
  type: list
  elements: dict
  contains:
    id:
      description: Id of the certificate.
      type: str
    project:
      description: Id of its project, empty where it names none.
      type: str
    name:
      description: Name of the certificate.
      type: str
    files:
      description: Paths of its files.
      type: list
      elements: str
    fingerprint_sha256:
      description: SHA-256 of the certificate in hex.
      type: str
    serial_number:
      description: Serial number in hex.
      type: str
    issuer:
      description: Name of the issuer, RFC 4514.
      type: str
    status:
      description: State of the certificate in the product.
      type: str
    not_after:
      description: RFC 3339 instant it expires at.
      type: str
    chain:
      description: Whether its chain was C(complete) to a root, C(open) because the next certificate is not there, as
        servers send it, C(none), C(self-signed), or C(broken). C(, expired) is added where a part of it is not valid
        now.
      type: str
    has_key:
      description: Whether its key was exported.
      type: bool
    outcome:
      description: C(written), C(incomplete) where some of its files could not be written, C(failed) where none could.
      type: str
counts:
  description: How many certificates had which outcome.
  returned: success, or when some could not be exported
  type: dict
  sample:
    written: 198
    incomplete: 2
    failed: 0
removed:
  description: How many files of an earlier run are not true any more and were removed.
  returned: success, or when some could not be exported
  type: int
index:
  description: Path of C(index.json).
  returned: success, or when some could not be exported
  type: str
failures:
  description: What could not be exported, the first 1000; the index has all.
  returned: when some could not be exported
  type: list
  elements: dict
  contains:
    id:
      description: Id of the certificate.
      type: str
    project:
      description: Id of its project.
      type: str
    name:
      description: Name of the certificate.
      type: str
    code:
      description: Stable code of the reason; they are listed in the collection's guide to failure codes.
      type: str
    reason:
      description: The reason in words.
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
    code: export.keys_not_allowed
    step: ""
    retryable: false
    hint: "set `include_keys: true` if that is meant"
"""

from ansible_collections.certautopilot.ops.plugins.module_utils._module.arguments import (
    CERTIFICATE_FILTER,
    SERVICE_API,
    with_installation,
)
from ansible_collections.certautopilot.ops.plugins.module_utils._module.base import run_module
from ansible_collections.certautopilot.ops.plugins.module_utils._verbs import cert_export

ARGUMENTS = with_installation(
    **SERVICE_API,
    **CERTIFICATE_FILTER,
    dest={"type": "path", "required": True},
    formats={
        "type": "list",
        "elements": "str",
        "choices": ["cert.pem", "chain.pem", "fullchain.pem", "key.pem", "bundle.pkcs12", "bundle.zip", "bundle.p12"],
        "default": ["cert.pem", "chain.pem", "fullchain.pem"],
    },
    include_keys={"type": "bool", "default": False, "no_log": False},
    override_key_export_policy={"type": "bool", "default": False, "no_log": False},
    passphrase_file={"type": "path", "no_log": False},
    recipients={"type": "list", "elements": "str", "default": []},
    owner={"type": "str"},
    group={"type": "str"},
    mode={"type": "raw", "default": "0600"},
)


def main() -> None:
    run_module(ARGUMENTS, cert_export.Options, cert_export.run, needs=("pyrage",))


if __name__ == "__main__":
    main()
