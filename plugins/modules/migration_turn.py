#!/usr/bin/python
# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
---
module: migration_turn
short_description: Let one migration at a time have a database
version_added: 0.1.0
author:
  - The certautopilot.ops authors (@certautopilot-ops)
description:
  - Takes, keeps and gives back the turn to migrate a database. A run of C(ansible-playbook) that asks for it while
    another one has it is refused, and told who has it, where and since when.
  - The role C(migrate) takes it in the source's and in the destination's database, keeps it before each stage and
    before it goes back, and gives it back at its end.
  - A run that was killed does not lock others out. The next run takes the turn over where it can see that the process
    which had it has ended, that is, on the same machine; elsewhere the turn runs out, or is taken over by name.
options:
  state:
    description:
      - V(taken) takes the turn, or fails where another run has it.
      - V(kept) makes it last for O(expires_after) again, or fails where another run has had it since.
      - V(given_back) ends it. A turn that another run has is left alone.
    type: str
    choices: [taken, kept, given_back]
    default: taken
  token:
    description: C(turn.token) as V(taken) returned it. Needed for the other two.
    type: int
    default: 0
  expires_after:
    description:
      - Seconds by the database server's clock after which another run may take the turn, unless it was kept.
      - It must be longer than the longest stage takes.
    type: int
    default: 14400
  take_over:
    description:
      - Run that has the turn and died, as the refusal names it. Give it only when that run has ended for certain.
    type: str
    default: ""
  run:
    description: Name of the run that asks. Set by the action plugin of the same name; leave it out.
    type: str
    default: ""
  run_by:
    description:
      - User, host and process of the run that asks. Set by the action plugin of the same name; leave it out.
    type: dict
    default: {}
extends_documentation_fragment:
  - certautopilot.ops._attributes
  - certautopilot.ops._attributes.changes
  - certautopilot.ops._mongodb
  - certautopilot.ops._provider
attributes:
  action:
    description: Indicates that this has a corresponding action plugin, so some parts of the options can be executed
      on the controller.
    support: full
seealso:
  - module: certautopilot.ops.data_import
"""

EXAMPLES = r"""
---
- name: One migration at a time
  certautopilot.ops.migration_turn:
  register: mine
  become: true

- name: A long step is over, and the turn still this run's
  certautopilot.ops.migration_turn:
    state: kept
    token: "{{ mine.turn.token }}"
  become: true

- name: The next one may begin
  certautopilot.ops.migration_turn:
    state: given_back
    token: "{{ mine.turn.token }}"
  become: true
"""

RETURN = r"""
---
turn:
  description: Who has the turn, or had it last. V(null) where nobody ever had it.
  returned: success
  type: dict
  sample:
    run: 3f0c5a9d1b7e
    token: 4
    since: "2026-05-01T09:00:00Z"
    expires_at: "2026-05-01T13:00:00Z"
    run_by:
      user: alice
      host: controller.example.com
      pid: "4242"
holder:
  description: Who has the turn instead, in the form of RV(turn).
  returned: when another run has it
  type: dict
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
    code: migration.held
    step: ""
    retryable: true
    hint: wait until it has ended
"""

from ansible_collections.certautopilot.ops.plugins.module_utils._module.arguments import with_installation
from ansible_collections.certautopilot.ops.plugins.module_utils._module.base import run_module
from ansible_collections.certautopilot.ops.plugins.module_utils._verbs import migration_turn

ARGUMENTS = with_installation(
    state={"type": "str", "choices": ["taken", "kept", "given_back"], "default": "taken"},
    token={"type": "int", "default": 0, "no_log": False},
    expires_after={"type": "int", "default": 14400},
    take_over={"type": "str", "default": ""},
    run={"type": "str", "default": ""},
    run_by={"type": "dict", "default": {}},
)


def main() -> None:
    run_module(ARGUMENTS, migration_turn.Options, migration_turn.run)


if __name__ == "__main__":
    main()
