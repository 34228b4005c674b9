#!/usr/bin/python
# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
---
module: secrets_archive
short_description: Encrypt a secrets file into an archive, and remove it
version_added: 0.2.0
author:
  - The certautopilot.ops authors (@certautopilot-ops)
description:
  - Encrypts the secrets file of an installation that is retired to age recipients, reads the archive back, and removes
    the file. The content never leaves the host in clear.
  - A file that is gone already is no failure.
options:
  src:
    description: The secrets file.
    type: path
    required: true
  dest:
    description: Folder of the archive, C(0700).
    type: path
    required: true
  name:
    description: How the archive's file begins, a name for each host; time and C(.age) follow.
    type: str
    required: true
  recipients:
    description: Public keys (C(age1...)) to which it is encrypted.
    type: list
    elements: str
    required: true
  file_owner:
    description: User besides root to whom the file may belong, the one as which the service runs.
    type: str
    default: ""
requirements:
  - python >= 3.11
  - pyrage >= 1.2
extends_documentation_fragment:
  - certautopilot.ops._attributes
  - certautopilot.ops._attributes.changes
attributes:
  action_group:
    support: none
    details: It works on no installation, so it does not take the options that the group's defaults set.
seealso:
  - module: certautopilot.ops.db_backup_check
"""

EXAMPLES = r"""
---
- name: Archive and remove it
  certautopilot.ops.secrets_archive:
    src: /etc/certautopilot/secrets.env
    dest: /var/backups/certautopilot/retired
    name: "{{ inventory_hostname }}"
    recipients: [age1ql3z7hjy54pw3hyww5ayyfg7zqgvc7w3j2elw8zmrj2kg5sfn9aqmcac8p]
  become: true
"""

RETURN = r"""
---
archived:
  description: The file, and its archives in the folder.
  returned: success
  type: dict
  sample:
    src: /etc/certautopilot/secrets.env
    archives: [/var/backups/certautopilot/retired/old1-20261127T120000Z.age]
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
    code: archive.damaged
    step: ""
    retryable: false
    hint: "is the disk full or failing? give another `dest`"
"""

from ansible_collections.certautopilot.ops.plugins.module_utils._module.base import run_module
from ansible_collections.certautopilot.ops.plugins.module_utils._verbs import secrets_archive

ARGUMENTS = {
    "src": {"type": "path", "required": True},
    "dest": {"type": "path", "required": True},
    "name": {"type": "str", "required": True},
    "recipients": {"type": "list", "elements": "str", "required": True},
    "file_owner": {"type": "str", "default": ""},
}


def main() -> None:
    run_module(ARGUMENTS, secrets_archive.Options, secrets_archive.run, needs=("pyrage",), installed=False)


if __name__ == "__main__":
    main()
