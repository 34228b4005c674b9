#!/usr/bin/python
# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
---
module: service_unit_info
short_description: Tell whose the service is and how its unit is
version_added: 0.1.0
author:
  - The certautopilot.ops authors (@certautopilot-ops)
description:
  - Reads from systemd as which user and group the service runs, which environment files it reads, whether it runs, is
    enabled and is retired.
  - A host without the unit, or without systemd, is no failure. RV(service.exists) and RV(systemd) tell.
options:
  unit:
    description: Name of the service's unit.
    type: str
    default: certautopilot.service
  journal:
    description: Also return the last lines of its journal. What its files of variables and O(mask_from) hold is masked.
    type: bool
    default: false
  mask_from:
    description: One more file whose values are masked, for example C(secrets.env). It may be missing.
    type: path
    default: ""
requirements:
  - python >= 3.11
extends_documentation_fragment:
  - certautopilot.ops._attributes
  - certautopilot.ops._attributes.reads
attributes:
  action_group:
    support: none
    details: It works on no installation, so it does not take the options that the group's defaults set.
seealso:
  - module: certautopilot.ops.product_service
"""

EXAMPLES = r"""
---
- name: Whose are the files of this installation
  certautopilot.ops.service_unit_info:
  register: unit
  become: true
"""

RETURN = r"""
---
journal:
  description: The last lines of its journal, oldest first, where they were asked for.
  returned: success
  type: list
  elements: str
systemd:
  description: Whether the host was started by systemd.
  returned: success
  type: bool
service:
  description: The unit. Texts are empty where there is none.
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
      description: User as which the service runs, by name where the host knows one. C(root) where the unit names
        none.
      type: str
      sample: certautopilot
    group:
      description: Group as which it runs, the user's own where the unit names none.
      type: str
      sample: certautopilot
    environment_files:
      description: Files, or patterns of files, from which systemd reads the service's environment.
      type: list
      elements: str
      sample: [/etc/certautopilot/secrets.env]
    fragment_path:
      description: The unit's file.
      type: str
      sample: /etc/systemd/system/certautopilot.service
    retired:
      description: Whether this collection keeps it from being started.
      type: bool
    retired_reason:
      description: Why, as it was said then.
      type: str
    boot_id:
      description: Another text after every boot of the host, or of the container that it is.
      type: str
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
    code: service.refused
    step: ""
    retryable: false
    hint: "run it as root (`become: true`)"
"""

from ansible_collections.certautopilot.ops.plugins.module_utils._module.base import run_module
from ansible_collections.certautopilot.ops.plugins.module_utils._verbs import service_unit_info

ARGUMENTS = {
    "unit": {"type": "str", "default": "certautopilot.service"},
    "journal": {"type": "bool", "default": False},
    "mask_from": {"type": "path", "default": ""},
}


def main() -> None:
    run_module(ARGUMENTS, service_unit_info.Options, service_unit_info.run, installed=False)


if __name__ == "__main__":
    main()
