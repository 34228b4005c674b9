# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Action of in_step: a play whose hosts do not go task by task together is refused (X81).

Documented in plugins/modules/in_step.py; it runs on the controller and reaches no host.
"""

from __future__ import annotations

from typing import Any

from ansible.plugins.action import ActionBase
from ansible_collections.certautopilot.ops.plugins.plugin_utils._failures import failed

IN_STEP = {"linear", "debug"}  # debug is linear that stops to ask
CODE = "play.not_in_step"
ARGUMENTS: dict[str, Any] = {}
HINT = "take `strategy` out of the play or set it to linear, and ANSIBLE_STRATEGY out of the environment"


class ActionModule(ActionBase):
    _supports_check_mode = True

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Return the task's result: unchanged, or failed with `msg` and `failure`."""
        started = super().run(tmp, task_vars)
        del tmp
        self.validate_argument_spec(argument_spec=ARGUMENTS)
        strategy = self._strategy().rpartition(".")[2]
        if strategy in IN_STEP:
            return {**started, "changed": False}
        msg = f"the play's strategy is {strategy}, expected linear, because its hosts wait for each other"
        return {**started, **failed(CODE, msg, hint=HINT, step="preflight")}

    def _strategy(self) -> str:
        """Return the strategy of the play that this task is of."""
        parent = self._task
        while parent is not None and not hasattr(parent, "_play"):
            parent = parent._parent  # pylint: disable=protected-access
        return str(getattr(getattr(parent, "_play", None), "strategy", "linear"))
