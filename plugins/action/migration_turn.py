# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Action of migration_turn: the module of the same name, told which run of ansible-playbook asks (ADR-0031).

Documented in the module. A run of this machine that has the turn and is known to have ended is taken over.
"""

from __future__ import annotations

from typing import Any

from ansible.plugins.action import ActionBase
from ansible.utils.display import Display
from ansible_collections.certautopilot.ops.plugins.module_utils._domain.visible import visible
from ansible_collections.certautopilot.ops.plugins.plugin_utils._runs import has_ended, this_run

MODULE = "certautopilot.ops.migration_turn"

display = Display()


class ActionModule(ActionBase):
    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Return the module's result."""
        started = super().run(tmp, task_vars)
        del tmp
        name, told = this_run()
        arguments = {**self._task.args, "run": name, "run_by": told}
        answer = self._module(arguments, task_vars)
        holder = answer.get("holder") or {}
        if (answer.get("failure") or {}).get("code") == "migration.held" and has_ended(holder.get("run_by") or {}):
            display.display(
                f"run {visible(str(holder['run']))} has ended without giving its turn back: it is taken over",
                stderr=True,
            )
            answer = self._module({**arguments, "take_over": holder["run"]}, task_vars)
        return {**started, **answer}

    def _module(self, arguments: dict[str, Any], task_vars: dict[str, Any] | None) -> dict[str, Any]:
        answer: dict[str, Any] = self._execute_module(module_name=MODULE, module_args=arguments, task_vars=task_vars)
        return answer
