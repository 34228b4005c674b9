# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Action of kek_rotate: the module of the same name in time slices, with one line of progress after each (ADR-0011).

Documented in the module. It knows nothing about rotations but what the module returns.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Mapping
from typing import Any

from ansible.module_utils.common.validation import check_type_bool, check_type_int
from ansible.plugins.action import ActionBase
from ansible.utils.display import Display
from ansible_collections.certautopilot.ops.plugins.module_utils._domain.visible import visible
from ansible_collections.certautopilot.ops.plugins.plugin_utils._slices import Limits, run_slices

MODULE = "certautopilot.ops.kek_rotate"
# As the module documents them.
DEFAULTS = {"progress": True, "slice_seconds": 5, "max_seconds": 0}

display = Display()


class ActionModule(ActionBase):
    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Return the module's result, which counts for all slices."""
        # WHY here: ansible-core 2.18 sets both anew in its constructor.
        self._supports_check_mode, self._supports_async = True, True
        started = super().run(tmp, task_vars)
        del tmp
        given = _numbers(self._task.args)
        # What does not parse is the module's to refuse, in Ansible's own words.
        if given is not None and given["slice_seconds"] < 0:
            return {**started, **_refused(given["slice_seconds"])}
        if given is None or self._task.async_val or self._task.check_mode or not _can_be_sliced(given):
            return {**started, **self._once(task_vars)}
        return {**started, **self._sliced(given, task_vars)}

    def _once(self, task_vars: dict[str, Any] | None) -> dict[str, Any]:
        wrap_async = bool(self._task.async_val) and not self._connection.has_native_async
        return self._run_module(dict(self._task.args), task_vars, wrap_async=wrap_async)

    def _sliced(self, given: Mapping[str, int], task_vars: dict[str, Any] | None) -> dict[str, Any]:
        host = (task_vars or {}).get("inventory_hostname", self._play_context.remote_addr)
        run = {"slice_of": uuid.uuid4().hex}

        def execute(seconds: int) -> dict[str, Any]:
            return self._run_module({**self._task.args, "max_seconds": seconds, **run}, task_vars)

        def say(line: str) -> None:
            # WHY stderr: Display leaves a piped stdout unflushed, so lines would come late and all at once; and what
            # a callback prints there for a program to read stays whole.
            if given["progress"] and not self._task.no_log:
                display.display(visible(f"{host}: {line}"), stderr=True)

        limits = Limits(given["slice_seconds"], given["max_seconds"])
        result = run_slices(execute, limits, say=say, clock=time.monotonic, sleep=time.sleep)
        arguments = (result.get("invocation") or {}).get("module_args")
        if arguments:
            arguments |= {"max_seconds": given["max_seconds"], "slice_of": ""}
        return result

    def _run_module(
        self, arguments: dict[str, Any], task_vars: dict[str, Any] | None, *, wrap_async: bool = False
    ) -> dict[str, Any]:
        if "prove_wraps" in arguments:
            # WHY: an alias wins over the name in Ansible, and module_defaults may still have the old one.
            arguments = {name: value for name, value in arguments.items() if name != "verify"}
        answer: dict[str, Any] = self._execute_module(
            module_name=MODULE, module_args=arguments, task_vars=task_vars, wrap_async=wrap_async
        )
        return answer


def _numbers(args: Mapping[str, Any]) -> dict[str, int] | None:
    """Return the options that are handled here, or None when one of them is not of its type."""
    given = {**DEFAULTS, **{name: args[name] for name in DEFAULTS if args.get(name) is not None}}
    try:
        return {
            "progress": check_type_bool(given["progress"]),
            "slice_seconds": check_type_int(given["slice_seconds"]),
            "max_seconds": check_type_int(given["max_seconds"]),
        }
    except TypeError:
        return None


def _can_be_sliced(given: Mapping[str, int]) -> bool:
    """Return whether a run that stops at max_seconds is taken up by the next one."""
    return given["slice_seconds"] > 0 and given["max_seconds"] >= 0


def _refused(slice_seconds: int) -> dict[str, Any]:
    return {
        "failed": True,
        "msg": f"slice_seconds {slice_seconds}",
        "failure": {
            "code": "rotate.options",
            "step": "",
            "retryable": False,
            "hint": "slice_seconds is a whole number from 1, or 0 to run in one piece",
        },
    }
