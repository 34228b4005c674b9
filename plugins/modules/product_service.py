#!/usr/bin/python
# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
---
module: product_service
short_description: Start the service until it is ready, or stop it for certain
version_added: 0.1.0
author:
  - The certautopilot.ops authors (@certautopilot-ops)
description:
  - Starts the unit of the service and waits until its health URL answers 200, or stops it and proves that no
    process of
    it is left. At the same time it can be enabled or disabled, retired or brought back.
  - All waits are seconds by the clock. A unit that failed, that ended by itself, or that is started again and again,
    ends the wait at once, and the last lines of its journal are part of the failure.
  - A unit is brought back and enabled before it is started, and stopped before it is disabled and retired.
  - Needs a host that was started by systemd, except with O(state=ready).
options:
  state:
    description:
      - V(started) starts the unit, or leaves it running, and waits until it is ready.
      - V(stopped) stops it. A unit that does not exist is stopped.
      - V(ready) touches no unit and only waits for O(health_url), for a service that something else than systemd
        controls.
    type: str
    choices: [started, stopped, ready]
    required: true
  unit:
    description: Name of the service's unit.
    type: str
    default: certautopilot.service
  enabled:
    description: Whether the unit is to be started at boot. Left as it is without this option.
    type: bool
  retired:
    description:
      - V(true) keeps the unit from being started by anybody, at boot too. A drop-in of its name,
        C(50-certautopilot-retired.conf),
        holds an assertion that cannot be true, so that every start fails, and C(systemctl status)
        names that file.
        C(systemctl mask) cannot do this, because it needs the place of the product's own unit file.
      - V(false) removes the drop-in. Left as it is without this option.
      - O(state=started) fails on a unit that is retired and is not brought back in the same call.
    type: bool
  retired_reason:
    description: Why it is retired, for whoever finds it so; at most 200 characters are kept. A unit that is
      retired already
      keeps the reason that it has.
    type: str
    default: ""
  health_url:
    description:
      - URL that answers 200 when the service is ready. Without one, a unit that is active is ready.
      - Redirects are followed on the same host only, and never from https to http. No proxy is used.
      - An answer counts only while the unit runs. Where it says ready before the unit is started, another process has
        its port, or another host its name, and nothing is started.
    type: str
    default: ""
  health_ca_file:
    description: File with the CA certificates that the URL's certificate must come from, in PEM form. Those of the
      system
      without this option.
    type: path
    default: ""
  health_validate_certs:
    description: Whether the certificate of an https URL must be trusted and of the URL's host.
    type: bool
    default: true
  health_timeout:
    description: Seconds after which a service that is not ready is a failure. A single question to the URL takes 5
      seconds
      at most.
    type: int
    default: 60
  stop_timeout:
    description: Seconds after which processes that have not ended are killed, with a warning. The unit's own
      C(TimeoutStopSec) may
      do that before.
    type: int
    default: 90
  needs_switch:
    description: Name of a switch of M(certautopilot.ops.return_switch) that must be armed. Without it a unit that runs
      is not stopped.
    type: str
    default: ""
  mask_from:
    description:
      - File whose values are masked in the lines of the journal, beside the environment files of the unit. It may
        be missing.
      - Paths are left readable. A line with a secret of fewer than 6 characters is left out as a whole.
    type: path
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
    details: The diff says whether the unit runs, is enabled and is retired.
seealso:
  - module: certautopilot.ops.return_switch
  - module: certautopilot.ops.service_unit_info
"""

EXAMPLES = r"""
---
- name: The service runs, at boot too, and is ready
  certautopilot.ops.product_service:
    state: started
    enabled: true
    retired: false
    health_url: https://localhost:18181/readyz
    health_ca_file: /etc/certautopilot/tls/ca.pem
  become: true

- name: What would stopping it change
  certautopilot.ops.product_service:
    state: stopped
  become: true
  check_mode: true
  diff: true

- name: The old installation does not come back
  certautopilot.ops.product_service:
    state: stopped
    enabled: false
    retired: true
    retired_reason: migrated to cap.example.com on 1 May 2026
  become: true
"""

RETURN = r"""
---
before:
  description: The unit before. Not returned for O(state=ready).
  returned: success
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
    retired:
      description: Whether this collection keeps it from being started.
      type: bool
    retired_reason:
      description: Why, as it was said then.
      type: str
    boot_id:
      description: Another text after every boot of the host, or of the container that it is.
      type: str
after:
  description: The unit after, in the form of RV(before); predicted in check mode. On a failure as it was when the
    wait ended.
  returned: success, and with the codes C(service.failed) and C(service.not_ready)
  type: dict
health:
  description: What the health URL answered, empty where it was not asked.
  returned: success
  type: str
  sample: "200"
killed:
  description: Processes that did not end in time and were killed.
  returned: success, not for V(ready)
  type: list
  elements: int
waited_s:
  description: Seconds that starting or stopping and the wait took.
  returned: success outside check mode, and on a failure of the wait
  type: float
  sample: 2.3
journal:
  description: Last lines of the unit's journal, at most 20. Secrets are masked, control characters escaped, long
    lines cut.
  returned: when the unit failed or is not ready
  type: list
  elements: str
  sample:
    - "2026-05-01T09:00:00Z certautopilot[4242]: cannot open the database"
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
    code: service.failed
    step: ""
    retryable: false
    hint: correct what its journal says (journalctl -u certautopilot.service), then run again
"""

from ansible_collections.certautopilot.ops.plugins.module_utils._module.base import run_module
from ansible_collections.certautopilot.ops.plugins.module_utils._verbs import product_service

ARGUMENTS = {
    "state": {"type": "str", "choices": ["started", "stopped", "ready"], "required": True},
    "unit": {"type": "str", "default": "certautopilot.service"},
    "enabled": {"type": "bool"},
    "retired": {"type": "bool"},
    "retired_reason": {"type": "str", "default": ""},
    "health_url": {"type": "str", "default": ""},
    "health_ca_file": {"type": "path", "default": ""},
    "health_validate_certs": {"type": "bool", "default": True},
    "health_timeout": {"type": "int", "default": 60},
    "stop_timeout": {"type": "int", "default": 90},
    "needs_switch": {"type": "str", "default": ""},
    "mask_from": {"type": "path", "default": ""},
}


def main() -> None:
    run_module(ARGUMENTS, product_service.Options, product_service.run, installed=False)


if __name__ == "__main__":
    main()
