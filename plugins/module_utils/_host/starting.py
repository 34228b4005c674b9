# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A service started, and the wait until it is ready: seconds, and none where it never will be (X73)."""

from __future__ import annotations

import time
from dataclasses import dataclass

from .._domain.errors import OpsError
from .._domain.unit_state import UnitState, why_never_ready
from . import journal, units
from .health import Health

_PAUSE_S = 0.25
_SILENCE_S = 2.0  # whoever takes longer to say that it is ready is not asked again before the start
_SHOWN_LINES = 3  # of the journal, in the message; the failure has them all


@dataclass(frozen=True, slots=True)
class Wait:
    """What is waited for. health: None where a running unit is enough. restarts_before: to count from.

    mask_from: one more file whose values are masked in the journal.
    """

    unit: str
    health: Health | None
    timeout_s: float
    restarts_before: int
    mask_from: str = ""


def require_silence(state: UnitState, health: Health) -> None:
    """Raises OpsError service.other_answers where the URL says ready although the unit does not run.

    WHY: that process would be believed in place of ours, and where it is the product too, two schedulers would run.
    """
    if not state.runs and health.ask(_SILENCE_S).ready:
        raise OpsError(
            f"{health.url} answers 200, and {state.name} is {state.said()}, expected no answer before it is started",
            code="service.other_answers",
            hint="find what answers there (a process of the product that was started by hand, another host behind the "
            "same name) and stop it, or give the URL of this host's own process; nothing was started",
            after=state.as_result(),
        )


def start(state: UnitState) -> int:
    """Have the unit started and return its count of restarts to count from."""
    units.start(state)
    # WHY the smaller one: a start by hand sets the count back to nothing, and it is read after that.
    return min(state.n_restarts, units.look(state.name).n_restarts)


def until_ready(wait: Wait) -> str:
    """Return what the health URL answered, "" without one. Raises OpsError service.failed, service.not_ready."""
    began, said = time.monotonic(), "was not asked"
    end = began + wait.timeout_s
    while True:
        state = units.look(wait.unit)
        if why := why_never_ready(state, wait.restarts_before):
            raise _failed(wait, state, why, time.monotonic() - began)
        left = end - time.monotonic()
        if left <= 0:
            raise _not_ready(wait, state, said, time.monotonic() - began)
        if wait.health is None:
            if state.active_state == "active" and not state.has_job:
                return ""
        elif state.active_state != "inactive":
            answer = wait.health.ask(left)
            said = f"answered {answer.said}"
            if answer.ready and _is_the_one(state, units.look(wait.unit)):
                return answer.said
        time.sleep(min(_PAUSE_S, max(end - time.monotonic(), 0)))


def until_answers(health: Health, timeout_s: float) -> str:
    """Return what the health URL of a service that is no unit answered. Raises OpsError service.not_ready."""
    end = time.monotonic() + timeout_s
    said = "was not asked"
    while (left := end - time.monotonic()) > 0:
        answer = health.ask(left)
        if answer.ready:
            return answer.said
        said = f"answered {answer.said}"
        time.sleep(min(_PAUSE_S, max(end - time.monotonic(), 0)))
    raise OpsError(
        f"{health.url} {said} for {timeout_s:g} s, expected 200",
        code="service.not_ready",
        hint="the service's log says why it does not become ready",
        retryable=True,
        waited_s=round(timeout_s + time.monotonic() - end, 1),
    )


def _is_the_one(before: UnitState, after: UnitState) -> bool:
    """Return whether it was the unit that answered: an old process on the same port answers too."""
    same = (before.main_pid, before.n_restarts) == (after.main_pid, after.n_restarts)
    return after.active_state == "active" and after.main_pid > 0 and same


def _failed(wait: Wait, state: UnitState, why: str, waited_s: float) -> OpsError:
    lines = journal.last_lines(state, wait.mask_from)
    return OpsError(
        f"{wait.unit} does not run: {why}, expected it to become ready; {_ends(lines)}",
        code="service.failed",
        hint=f"correct what its journal says (journalctl -u {wait.unit}), then run again",
        journal=list(lines),
        after=state.as_result(),
        waited_s=round(waited_s, 1),
    )


def _not_ready(wait: Wait, state: UnitState, said: str, waited_s: float) -> OpsError:
    lines = journal.last_lines(state, wait.mask_from)
    asked = f"{wait.health.url} {said}" if wait.health else "it is not active"
    return OpsError(
        f"{wait.unit} is not ready after {wait.timeout_s:g} s: {asked}, and the unit is {state.said()}, expected "
        f"{'200' if wait.health else 'active'}; {_ends(lines)}",
        code="service.not_ready",
        hint="its journal says why it does not become ready; where it only takes long, raise `health_timeout` "
        "(`service_health_timeout_s` of the role)",
        retryable=True,
        journal=list(lines),
        after=state.as_result(),
        waited_s=round(waited_s, 1),
    )


def _ends(lines: tuple[str, ...]) -> str:
    return f"its journal ends: {' | '.join(lines[-_SHOWN_LINES:])}" if lines else "its journal is empty"
