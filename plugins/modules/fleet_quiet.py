#!/usr/bin/python
# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
---
module: fleet_quiet
short_description: Prove that no process of the fleet writes any more
version_added: 0.1.0
author:
  - The certautopilot.ops authors (@certautopilot-ops)
description:
  - Looks at the heartbeats of an installation for O(quiet_for) seconds and succeeds when none moved. It fails at
    the first
    that does, and names the process.
  - Whoever stopped a service on its hosts learns by this that no process goes on elsewhere.
options:
  quiet_for:
    description: Seconds to look; longer than the interval of the heartbeats, which is 30 seconds.
    type: int
    default: 35
extends_documentation_fragment:
  - certautopilot.ops._attributes
  - certautopilot.ops._attributes.reads
  - certautopilot.ops._mongodb
  - certautopilot.ops._provider
attributes:
  check_mode:
    details: In check mode nothing was stopped, so it looks once and does not wait.
seealso:
  - module: certautopilot.ops.product_service
  - module: certautopilot.ops.kek_info
"""

EXAMPLES = r"""
---
- name: Nobody writes any more
  certautopilot.ops.fleet_quiet:
  become: true
"""

RETURN = r"""
---
quiet_for_s:
  description: Seconds for which no heartbeat moved. 0 in check mode.
  returned: success
  type: float
  sample: 35.1
fleet:
  description: The heartbeats as they were read last.
  returned: success, and with the code C(service.not_quiesced)
  type: dict
  contains:
    live:
      description: Processes whose last heartbeat is at most 120 seconds old.
      type: int
    newest_heartbeat:
      description: Time of the newest heartbeat, empty for none.
      type: str
    processes:
      description: Each process, as M(certautopilot.ops.kek_info) returns it.
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
    code: service.not_quiesced
    step: ""
    retryable: false
    hint: stop the product on every host that uses this database
"""

from ansible_collections.certautopilot.ops.plugins.module_utils._module.arguments import with_installation
from ansible_collections.certautopilot.ops.plugins.module_utils._module.base import run_module
from ansible_collections.certautopilot.ops.plugins.module_utils._verbs import fleet_quiet

ARGUMENTS = with_installation(quiet_for={"type": "int", "default": 35})


def main() -> None:
    run_module(ARGUMENTS, fleet_quiet.Options, fleet_quiet.run)


if __name__ == "__main__":
    main()
