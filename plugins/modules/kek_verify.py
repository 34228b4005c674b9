#!/usr/bin/python
# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
---
module: kek_verify
short_description: Ask whether every live process is ready for a KEK version
version_added: 0.1.0
author:
  - The certautopilot.ops authors (@certautopilot-ops)
description:
  - Reads the heartbeats of the product and succeeds if every live process has loaded the version; each one that has
    not is named. A process is live if its last heartbeat is at most 120 seconds old by the database server's clock.
  - Where a heartbeat has a proof that its process opened the version's canary, the proof is checked, so that a process
    with another key under the same version is named too.
  - Reads only. M(certautopilot.ops.kek_rotate) asks the same by itself, once; this module can wait.
options:
  target:
    description: KEK version. The active one when left out.
    type: int
  allow_empty_fleet:
    description: Succeed although no live process wrote a heartbeat.
    type: bool
    default: false
  wait_timeout:
    description: Seconds to wait for the fleet; V(0) looks once. A failure returns the last state.
    type: int
    default: 0
extends_documentation_fragment:
  - certautopilot.ops._attributes
  - certautopilot.ops._attributes.reads
  - certautopilot.ops._mongodb
  - certautopilot.ops._provider
"""

EXAMPLES = r"""
---
- name: Wait until the whole fleet has loaded version 2
  certautopilot.ops.kek_verify:
    target: 2
    wait_timeout: 180
  become: true
"""

RETURN = r"""
---
fleet_gate:
  description: Whether the fleet is ready, and which processes are not.
  returned: success, and on failure when the fleet is not ready
  type: dict
  contains:
    target:
      description: KEK version.
      type: int
    live:
      description: How many processes are live.
      type: int
    ready:
      description: Whether all of them have it loaded.
      type: bool
    proven:
      description: Ids of the processes that proved it.
      type: list
      elements: str
    behind:
      description: Processes that are not ready, each with process and reason.
      type: list
      elements: dict
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
    code: fleet.not_ready
    step: ""
    retryable: false
    hint: "give the version's key to these hosts and restart"
"""

from ansible_collections.certautopilot.ops.plugins.module_utils._module.arguments import with_installation
from ansible_collections.certautopilot.ops.plugins.module_utils._module.base import run_module
from ansible_collections.certautopilot.ops.plugins.module_utils._verbs import kek_verify

ARGUMENTS = with_installation(
    target={"type": "int"},
    allow_empty_fleet={"type": "bool", "default": False},
    wait_timeout={"type": "int", "default": 0},
)


def main() -> None:
    run_module(ARGUMENTS, kek_verify.Options, kek_verify.run)


if __name__ == "__main__":
    main()
