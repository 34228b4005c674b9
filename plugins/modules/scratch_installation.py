#!/usr/bin/python
# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
---
module: scratch_installation
short_description: A database and keys for a rehearsal, thrown away afterwards
version_added: 0.2.0
author:
  - The certautopilot.ops authors (@certautopilot-ops)
description:
  - V(present) notes in a database that holds nothing that it is scratch. The installation itself is made in it by
    M(certautopilot.ops.kek_install_lock) or M(certautopilot.ops.kek_pkcs11_init), as any other.
  - V(absent) destroys the keys that the scratch installation made in the token, and drops its collections. It is
    refused in a database without the note, and for a key that does not carry the scratch installation's own id.
  - The role P(certautopilot.ops.migrate#role) uses it where C(migrate_rehearse) is set.
options:
  state:
    description: Whether the scratch installation is to be begun, or to be gone.
    type: str
    choices: [present, absent]
    default: present
  of:
    description: Install id of the installation that is rehearsed. Needed for V(present).
    type: str
    default: ""
extends_documentation_fragment:
  - certautopilot.ops._attributes
  - certautopilot.ops._attributes.changes
  - certautopilot.ops._mongodb
  - certautopilot.ops._provider
seealso:
  - module: certautopilot.ops.data_import
"""

EXAMPLES = r"""
---
- name: Begin a scratch installation
  certautopilot.ops.scratch_installation:
    of: "{{ source.lock.install_id }}"
    mongodb_uri_file: /etc/certautopilot/mongodb-uri
    mongodb_database: certautopilot_rehearsal
  become: true

- name: Nothing of it stays
  certautopilot.ops.scratch_installation:
    state: absent
    config_file: /var/lib/certautopilot-migration/rehearsal/config.yaml
    secrets_file: /var/lib/certautopilot-migration/rehearsal/secrets.env
  become: true
"""

RETURN = r"""
---
scratch:
  description: The note, C(of) which installation and since when (C(made_at)). Empty where there was none.
  returned: success
  type: dict
  sample:
    of: 98f0249bc3f440e8baeefbe00784a44a
    made_at: "2026-05-01T21:00:00Z"
keys_destroyed:
  description: Ids of the keys that were destroyed, in hex. Empty in check mode.
  returned: success
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
    code: scratch.not_scratch
    step: ""
    retryable: false
    hint: give the name of the database that the rehearsal made; nothing was dropped
"""

from ansible_collections.certautopilot.ops.plugins.module_utils._module.arguments import with_installation
from ansible_collections.certautopilot.ops.plugins.module_utils._module.base import run_module
from ansible_collections.certautopilot.ops.plugins.module_utils._verbs import scratch_installation

ARGUMENTS = with_installation(
    state={"type": "str", "choices": ["present", "absent"], "default": "present"},
    of={"type": "str", "default": ""},
)


def main() -> None:
    run_module(ARGUMENTS, scratch_installation.Options, scratch_installation.run)


if __name__ == "__main__":
    main()
