# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Documentation only: what it does is plugins/action/bundle_transfer.py, on the controller.

from __future__ import annotations

DOCUMENTATION = r"""
module: bundle_transfer
short_description: Bring a bundle from one host to another by way of the controller
version_added: 0.2.0
description:
  - Brings the two files of a bundle, C(records.age) and C(manifest.json), from the source to the controller, and from
    there to the destination. Used by the role P(certautopilot.ops.migrate#role).
  - The files are streamed, whatever their size. Where the tasks become another user, that user copies the files for
    the login user, into a private folder below its home which is removed at once; the home needs so much free space.
    Only whoever has the destination's identity can open them.
  - On the controller they are in a folder of this run alone, mode 0700, below Ansible's local temporary folder.
author:
  - The certautopilot.ops authors (@certautopilot-ops)
options:
  state:
    description:
      - V(fetched) brings the bundle from this host to the controller.
      - V(put) brings it from the controller to this host.
      - V(forgotten) removes what is left on the controller of this run's bundles, and of runs that were killed.
    type: str
    choices: [fetched, put, forgotten]
    required: true
  folder:
    description:
      - Folder of the bundle on this host. Needed unless O(state=forgotten).
      - A bundle is put that was fetched from a folder of the same name, whatever its parent.
    type: str
    default: ""
attributes:
  check_mode:
    description: Can run in C(check_mode) and return changed status prediction without modifying target.
    support: partial
    details: In check mode there is no bundle, and the task is skipped.
  diff_mode:
    description: Will return details on what has changed (or possibly needs changing in C(check_mode)), when in
      diff mode.
    support: none
    details: The files are encrypted.
  idempotent:
    description: When run twice in a row outside check mode, with the same arguments, the second run changes nothing.
    support: full
  platform:
    description: Target OS the module can run on.
    support: full
    platforms: posix
  action_group:
    description: Use C(group/certautopilot.ops.kek) in C(module_defaults) to set defaults for this module.
    support: none
    details: It works on no installation.
    membership: []
  action:
    description: Indicates that this has a corresponding action plugin, so some parts of the options can be executed
      on the controller.
    support: full
seealso:
  - module: certautopilot.ops.data_export
  - module: certautopilot.ops.data_import
"""

EXAMPLES = r"""
- name: Fetch what the source exported
  certautopilot.ops.bundle_transfer:
    state: fetched
    folder: /var/lib/certautopilot-migration/bundle

- name: Put it on the destination
  certautopilot.ops.bundle_transfer:
    state: put
    folder: /var/lib/certautopilot-migration/bundle
"""

RETURN = r"""
msg:
  description: Code, what was found and expected, and the way out, in one line.
  returned: failure
  type: str
failure:
  description: The failure for programs.
  returned: failure
  type: dict
  contains:
    code:
      description: Stable code.
      type: str
      returned: failure
      sample: bundle.transfer
    step:
      description: The step that stopped.
      type: str
      returned: failure
    retryable:
      description: Whether the same run may succeed later without anybody changing anything.
      type: bool
      returned: failure
    hint:
      description: The way out.
      type: str
      returned: failure
"""
