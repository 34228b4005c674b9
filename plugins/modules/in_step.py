# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Documentation only: what it does is plugins/action/in_step.py, on the controller.

from __future__ import annotations

DOCUMENTATION = r"""
module: in_step
short_description: Refuse a play whose hosts do not go task by task together
version_added: 0.2.0
description:
  - Fails with C(play.not_in_step) unless the play's strategy is V(linear), or V(debug), which is linear too.
  - Roles whose hosts wait for each other begin with it. With another strategy a host would read what another one has
    not said yet, and fail for a reason that is none.
  - It runs on the controller. No connection to the host is made.
author:
  - The certautopilot.ops authors (@certautopilot-ops)
options: {}
extends_documentation_fragment:
  - certautopilot.ops._attributes.on_controller
seealso:
  - module: certautopilot.ops.require
"""

EXAMPLES = r"""
- name: The hosts of this play wait for each other
  certautopilot.ops.in_step:
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
      sample: play.not_in_step
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
