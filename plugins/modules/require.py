# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Documentation only: what it does is plugins/action/require.py, on the controller.

from __future__ import annotations

DOCUMENTATION = r"""
module: require
short_description: Fail with a stable code unless conditions are true
version_added: 0.1.0
description:
  - Works as M(ansible.builtin.assert) and fails as the modules of this collection do, with RV(failure) beside
    RV(msg), so that what runs the play can tell one failure from another without reading sentences.
  - The roles of this collection use it for everything they check themselves. Their codes are listed in the guide of
    failure codes.
  - It runs on the controller. No connection to the host is made.
author:
  - The certautopilot.ops authors (@certautopilot-ops)
options:
  that:
    description:
      - Conditions in the form that C(when) takes. All of them must be true.
      - With V(false) the task always fails, which is how a C(rescue) ends.
    type: raw
    required: true
  code:
    description: Stable code of the failure, in the form C(area.what).
    type: str
    required: true
  msg:
    description:
      - What was found and what was expected.
      - It is templated whether or not the conditions are true.
    type: str
    required: true
  hint:
    description: The way out.
    type: str
    required: true
  step:
    description: The step of the role or the stage of the migration that stopped.
    type: str
    default: ""
  retryable:
    description: Whether the same run may succeed later without anybody changing anything.
    type: bool
    default: false
extends_documentation_fragment:
  - certautopilot.ops._attributes.on_controller
seealso:
  - module: ansible.builtin.assert
"""

EXAMPLES = r"""
- name: A rotation names the version to move to
  certautopilot.ops.require:
    that: site_kek_version | int > 0
    code: site.kek_version
    msg: "site_kek_version is {{ site_kek_version }}, expected a whole number from 1"
    hint: correct it in the inventory
"""

RETURN = r"""
msg:
  description: Code, what was found and expected, and the way out, in one line.
  returned: failure
  type: str
  sample: "rotate.another_host: new did not finish; its own failure says why"
failure:
  description: The failure for programs.
  returned: failure
  type: dict
  contains:
    code:
      description: Stable code.
      type: str
      returned: failure
      sample: rotate.another_host
    step:
      description: The step that stopped, empty when the task names none.
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
