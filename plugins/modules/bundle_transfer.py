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
extends_documentation_fragment:
  - certautopilot.ops._attributes.on_controller
attributes:
  check_mode:
    support: partial
    details: In check mode there is no bundle, and the task is skipped.
  diff_mode:
    support: none
    details: The files are encrypted.
  idempotent:
    details: A bundle that is there already is not written again.
  platform:
    platforms: posix
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
