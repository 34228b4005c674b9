#!/usr/bin/python
# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
---
module: return_switch
short_description: Have a stopped service start again by itself if nobody goes on
version_added: 0.1.0
author:
  - The certautopilot.ops authors (@certautopilot-ops)
description:
  - A dead man's switch for a service that is stopped while its records are moved. Armed, it is a transient timer
    of systemd
    that starts the unit again after O(after_s) seconds, without Ansible, the controller or the network. A
    migration arms it
    before it stops the source, and takes it away before the destination is accepted, so that a controller that dies
    in between leaves nobody without a service.
  - A reboot removes it. Then what is enabled starts at boot, and RV(boot_id) tells that this happened.
  - Needs a host that was started by systemd.
options:
  state:
    description:
      - V(armed) arms it, or arms it anew with its full time. At no moment in between is there none.
      - V(asserted) changes nothing, and fails unless it is armed, has not fired and has O(left_s) seconds left.
      - V(disarmed) takes it away and proves that it is gone. A switch that is not there is taken away.
    type: str
    choices: [armed, asserted, disarmed]
    required: true
  unit:
    description: Name of the service's unit.
    type: str
    default: certautopilot.service
  after_s:
    description: Seconds after which an armed switch starts the unit.
    type: int
    default: 900
  left_s:
    description: Seconds that must be left before it fires, for O(state=asserted) and for arming it anew with
      O(expect_stopped).
    type: int
    default: 0
  boot_id:
    description: RV(boot_id) as arming it returned. With another one the module fails, because the host has booted
      since.
    type: str
    default: ""
  expect_stopped:
    description:
      - Whether the unit must still be stopped. With V(true) the module fails where the switch fired or the unit runs.
      - With O(state=armed) this also means that a switch must be armed already.
      - With O(state=disarmed) a switch that fired is kept as it is, so that the next call fails too; without this
        option
        it is taken away.
    type: bool
    default: false
  name:
    description: Name of the transient units, without suffix. A second name, ending in C(-again), is used when it
      is armed anew.
    type: str
    default: certautopilot-return
  run:
    description: Name of the migration that arms it, for the description of its units.
    type: str
    default: ""
requirements:
  - python >= 3.11
extends_documentation_fragment:
  - certautopilot.ops._attributes
  - certautopilot.ops._attributes.changes
attributes:
  action_group:
    support: none
    details: It works on no installation, so it does not take the options that the group's defaults set.
  diff_mode:
    details: The diff says whether it is armed.
  idempotent:
    details: Arming it anew gives it its full time again, which is no change.
seealso:
  - module: certautopilot.ops.product_service
"""

EXAMPLES = r"""
---
- name: The source comes back by itself in 15 minutes
  certautopilot.ops.return_switch:
    state: armed
    after_s: 900
  register: armed
  become: true

- name: A long step is over, and nothing has run meanwhile
  certautopilot.ops.return_switch:
    state: asserted
    boot_id: "{{ armed.boot_id }}"
    left_s: 120
    expect_stopped: true
  become: true

- name: From here on the destination is the one that starts
  certautopilot.ops.return_switch:
    state: disarmed
    boot_id: "{{ armed.boot_id }}"
    expect_stopped: true
  become: true
"""

RETURN = r"""
---
switch:
  description: The switch after the call. On a failure as it was found.
  returned: success, and with the codes C(switch.late) and C(switch.not_armed)
  type: dict
  contains:
    armed:
      description: Whether it will start the unit.
      type: bool
    was_armed:
      description: Whether it would have before the call.
      type: bool
    fired:
      description: Whether it has started the unit, since it was armed and since the host booted.
      type: bool
    left_s:
      description: Seconds until it fires. V(null) where it is not armed.
      type: int
      sample: 899
boot_id:
  description: Another text after every boot of the host, or of the container that it is.
  returned: success
  type: str
service:
  description: The unit that it starts.
  returned: success, and with the code C(service.runs_again)
  type: dict
  contains:
    exists:
      description: Whether systemd knows the unit.
      type: bool
    active_state:
      description: State of the unit in systemd's words.
      type: str
      sample: active
    sub_state:
      description: State of the service in systemd's words.
      type: str
      sample: running
    result:
      description: How it ended last, in systemd's words.
      type: str
      sample: success
    enabled:
      description: Whether it is started at boot.
      type: bool
    main_pid:
      description: Its main process, 0 for none.
      type: int
    n_restarts:
      description: How often systemd started it again by itself.
      type: int
    user:
      description: User as the unit says it, empty where it says none.
      type: str
      sample: certautopilot
    group:
      description: Group as the unit says it, empty where it says none.
      type: str
      sample: certautopilot
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
    code: switch.fired
    step: ""
    retryable: false
    hint: "go back: the service serves and may have written"
"""

from ansible_collections.certautopilot.ops.plugins.module_utils._module.base import run_module
from ansible_collections.certautopilot.ops.plugins.module_utils._verbs import return_switch

ARGUMENTS = {
    "state": {"type": "str", "choices": ["armed", "asserted", "disarmed"], "required": True},
    "unit": {"type": "str", "default": "certautopilot.service"},
    "after_s": {"type": "int", "default": 900},
    "left_s": {"type": "int", "default": 0},
    "boot_id": {"type": "str", "default": ""},
    "expect_stopped": {"type": "bool", "default": False},
    "name": {"type": "str", "default": "certautopilot-return"},
    "run": {"type": "str", "default": ""},
}


def main() -> None:
    run_module(ARGUMENTS, return_switch.Options, return_switch.run, installed=False)


if __name__ == "__main__":
    main()
