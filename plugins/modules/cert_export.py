#!/usr/bin/python
# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
---
module: cert_export
short_description: Export certificates from the database as files
version_added: 0.1.0
author:
  - The certautopilot.ops authors (@certautopilot-ops)
description:
  - Writes certificates, chains and, when asked, private keys to O(dest), one folder per project and certificate.
  - Files are C(0600) in C(0700) folders, written atomically, and left alone where nothing in them would change.
  - Keys never appear in the result. A certificate whose key was made elsewhere, for a CSR of its owner's, gets no
    file that holds a key.
options:
  dest:
    description: Folder to write to.
    type: path
    required: true
  formats:
    description: Files to write for each certificate.
    type: list
    elements: str
    choices: [cert.pem, chain.pem, fullchain.pem, key.pem, bundle.p12, bundle.zip]
    default: [cert.pem, chain.pem, fullchain.pem]
  projects:
    description: Only certificates of these projects, by id, slug or name. All when empty.
    type: list
    elements: str
    default: []
  names:
    description: Only these certificates, by name, common name or id. All when empty.
    type: list
    elements: str
    default: []
  include_keys:
    description: Allow formats that hold private keys. The KEK is loaded only then.
    type: bool
    default: false
  passphrase_file:
    description: File with the passphrase of C(bundle.p12), mode C(0600).
    type: path
extends_documentation_fragment:
  - certautopilot.ops._attributes
  - certautopilot.ops._attributes.changes
  - certautopilot.ops._mongodb
  - certautopilot.ops._provider
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
    formats: [fullchain.pem, key.pem, bundle.p12]
    include_keys: true
    passphrase_file: /etc/certautopilot/p12-passphrase
  become: true
"""

RETURN = r"""
---
certificates:
  description: What was exported, or would be in check mode.
  returned: success
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
    files:
      description: Paths of its files.
      type: list
      elements: str
    fingerprint_sha256:
      description: SHA-256 of the certificate in hex.
      type: str
    not_after:
      description: RFC 3339 instant it expires at.
      type: str
    has_key:
      description: Whether its key was exported.
      type: bool
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

from ansible_collections.certautopilot.ops.plugins.module_utils._module.arguments import with_installation
from ansible_collections.certautopilot.ops.plugins.module_utils._module.base import run_module
from ansible_collections.certautopilot.ops.plugins.module_utils._verbs import cert_export

ARGUMENTS = with_installation(
    dest={"type": "path", "required": True},
    formats={
        "type": "list",
        "elements": "str",
        "choices": ["cert.pem", "chain.pem", "fullchain.pem", "key.pem", "bundle.p12", "bundle.zip"],
        "default": ["cert.pem", "chain.pem", "fullchain.pem"],
    },
    projects={"type": "list", "elements": "str", "default": []},
    names={"type": "list", "elements": "str", "default": []},
    include_keys={"type": "bool", "default": False, "no_log": False},
    passphrase_file={"type": "path", "no_log": False},
)


def main() -> None:
    run_module(ARGUMENTS, cert_export.Options, cert_export.run)


if __name__ == "__main__":
    main()
