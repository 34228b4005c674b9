# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Action of require: an assertion that fails as our modules do, with a stable code and the way out (ADR-0020).

Documented in plugins/modules/require.py; it runs on the controller and reaches no host.
"""

from __future__ import annotations

import importlib
import re
from typing import Any

from ansible.errors import AnsibleActionFail
from ansible_collections.certautopilot.ops.plugins.plugin_utils._failures import failed

# WHY inherit: how a condition is evaluated differs from core to core, and assert follows each of them.
_assert = importlib.import_module("ansible.plugins.action.assert")

CODE = re.compile(r"[a-z][a-z0-9_]*\.[a-z0-9_]+")
ARGUMENTS = {
    "that": {"type": "raw", "required": True},
    "code": {"type": "str", "required": True},
    "msg": {"type": "str", "required": True},
    "hint": {"type": "str", "required": True},
    "step": {"type": "str", "default": ""},
    "retryable": {"type": "bool", "default": False},
}


class ActionModule(_assert.ActionModule):
    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Return the task's result: unchanged, or failed with `msg` and `failure`."""
        given = self._task.args
        _validated, options = self.validate_argument_spec(argument_spec=ARGUMENTS)
        if not CODE.fullmatch(options["code"]):
            raise AnsibleActionFail(f"code is {options['code']!r}, expected area.what in lower case")
        # SAFE BECAUSE it is put back: a task with `until` runs this action again with the same task.
        self._task.args = {"that": given["that"], "quiet": True}
        try:
            holds = not super().run(tmp, task_vars).get("failed")
        finally:
            self._task.args = given
        if holds:
            return {"changed": False}
        told = {name: options[name] for name in ("hint", "step", "retryable")}
        return failed(options["code"], options["msg"], **told)
