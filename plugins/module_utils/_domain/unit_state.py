# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What systemd says of the service's unit, and what it means for somebody who waits for it. Pure.

States of a unit that is being started: inactive with a job (queued) -> activating -> active. A service that dies goes
to failed, or, where its unit says Restart=, to activating (auto-restart) and around again: that circle has no end, so
whoever waits counts how often it died.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from .systemd_show import Properties, environment_files
from .values import JsonObject

PROPERTIES = (
    "Id", "LoadState", "ActiveState", "SubState", "Result", "UnitFileState", "NeedDaemonReload", "Job", "MainPID",
    "NRestarts", "User", "Group", "EnvironmentFiles", "ControlGroup", "AssertResult", "AssertTimestampMonotonic",
    "FragmentPath", "ExecMainStatus",
)  # fmt: skip
NOT_RUNNING = ("inactive", "failed")
_UNIT = re.compile(r"[A-Za-z0-9:_.@\\][A-Za-z0-9:_.@\\-]{0,240}\.service")
DEATHS = 2  # of one start: the first may be a database that was not there yet, the second is a circle


@dataclass(frozen=True, slots=True)
class UnitState:
    """One look at a unit. load_state: loaded, not-found, masked, bad-setting, error. enabled_as: systemd's word for it.

    n_restarts: how often systemd started it again by itself. environment_files: (path or pattern, may be missing).
    """

    name: str
    load_state: str
    active_state: str
    sub_state: str
    result: str
    enabled_as: str
    needs_reload: bool
    has_job: bool
    main_pid: int
    n_restarts: int
    user: str
    group: str
    environment_files: tuple[tuple[str, bool], ...]
    control_group: str
    assert_failed: bool
    fragment_path: str
    exit_status: int

    @property
    def exists(self) -> bool:
        return self.load_state != "not-found"

    @property
    def runs(self) -> bool:
        """Whether a process of it runs, is about to, or is not gone yet."""
        return self.active_state not in NOT_RUNNING

    @property
    def is_up(self) -> bool:
        """Whether it runs or is being started. One that is being stopped, or waits to be started again, is not."""
        return self.runs and self.active_state != "deactivating" and not self.waits_to_restart

    @property
    def enabled(self) -> bool:
        """Whether it is started at boot."""
        return self.enabled_as in ("enabled", "enabled-runtime")

    @property
    def waits_to_restart(self) -> bool:
        return self.sub_state.startswith("auto-restart")

    def said(self) -> str:
        """Return the state in systemd's words, as `systemctl status` shows it."""
        failed = f", result {self.result}" if self.result not in ("", "success") else ""
        return f"{self.active_state} ({self.sub_state}{failed})"

    def as_result(self) -> JsonObject:
        return {
            "exists": self.exists,
            "active_state": self.active_state,
            "sub_state": self.sub_state,
            "result": self.result,
            "enabled": self.enabled,
            "main_pid": self.main_pid,
            "n_restarts": self.n_restarts,
            "user": self.user,
            "group": self.group,
        }


def is_unit_name(text: str) -> bool:
    """Return whether systemd takes the text for the name of a service, and no option of a program begins so."""
    return _UNIT.fullmatch(text) is not None


def unit_state(properties: Properties) -> UnitState:
    """Return the state that `systemctl show` prints. User and group are as the unit says them, "" where it does not."""
    return UnitState(
        name=properties.text("Id"),
        load_state=properties.text("LoadState"),
        active_state=properties.text("ActiveState"),
        sub_state=properties.text("SubState"),
        result=properties.text("Result"),
        enabled_as=properties.text("UnitFileState"),
        needs_reload=properties.text("NeedDaemonReload") == "yes",
        has_job=properties.text("Job") not in ("", "0"),
        main_pid=properties.number("MainPID"),
        n_restarts=properties.number("NRestarts"),
        user=properties.text("User"),
        group=properties.text("Group"),
        environment_files=environment_files(properties.all("EnvironmentFiles")),
        control_group=properties.text("ControlGroup"),
        # WHY both: of a unit whose Assert was never looked at, systemd says "no" too.
        assert_failed=properties.number("AssertTimestampMonotonic") > 0 and properties.text("AssertResult") == "no",
        fragment_path=properties.text("FragmentPath"),
        exit_status=properties.number("ExecMainStatus"),
    )


def deaths(state: UnitState, restarts_before: int) -> int:
    """Return how often it died since. WHY the one more: systemd counts a restart when it starts, not when it is due."""
    dead = state.waits_to_restart or state.active_state == "failed"
    return max(state.n_restarts - restarts_before, 0) + (1 if dead else 0)


def why_never_ready(state: UnitState, restarts_before: int) -> str:
    """Return why waiting for it any longer is of no use; "" while it may still become ready."""
    if state.active_state == "failed":
        return f"it failed: {state.said()}{_exit(state)}"
    if (died := deaths(state, restarts_before)) >= DEATHS:
        return f"it ended {died} times and is started again and again: {state.said()}{_exit(state)}"
    if state.active_state == "inactive" and not state.has_job:
        if state.assert_failed:
            return "an Assert of its unit keeps it from being started"
        return f"it is {state.said()}: it ended by itself, or what it needs could not be started"
    return ""


def _exit(state: UnitState) -> str:
    return f", exit status {state.exit_status}" if state.exit_status else ""
