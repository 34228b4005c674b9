# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Keeping a claim fresh while long work goes on, and refusing the next write once it may be somebody else's.

A thread renews; the worker asks `require` before each write. A process that was stopped finds its claim stale by its
own clock and asks the server before it writes again.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from types import TracebackType

from .._domain.errors import LeaseLost, OpsError

_RENEWALS = 3  # in the life of a claim
_SAFE_SHARE = 0.75  # of the life of a claim, after which a write must ask first


class Keeper:
    """Renews a claim until it is left. Use as a context manager.

    renew: extends the claim on the server by `lease_s` seconds; raises OpsError when it is not ours any more. since:
    `clock()` from before the claim was asked for: the server's answer, or this process, may have been late.
    """

    def __init__(self, renew: Callable[[], None], lease_s: float, *, since: float) -> None:
        self._renew = renew
        self._lease_s = lease_s
        self._guard = threading.Lock()
        self._lost: OpsError | None = None
        self._left = threading.Event()
        self._thread = threading.Thread(target=self._keep, name="keeper", daemon=True)
        self._fresh_until = since + lease_s * _SAFE_SHARE

    def __enter__(self) -> Keeper:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._left.set()
        self._thread.join()

    def require(self) -> None:
        """Raises OpsError of `renew` when the claim is lost: call it just before each write that it protects."""
        with self._guard:
            if self._lost is not None:
                raise self._lost
            if clock() >= self._fresh_until:
                self._renewed()

    def _keep(self) -> None:
        while not self._left.wait(self._lease_s / _RENEWALS):
            with self._guard:
                try:
                    self._renewed()
                except LeaseLost as lost:
                    self._lost = lost
                    return
                except OpsError:
                    continue  # an unreachable server is asked again; `require` goes by the clock meanwhile

    def _renewed(self) -> None:
        # WHY the clock is read first: the server's answer may be late, and the claim runs from when it was made.
        asked = clock()
        try:
            self._renew()
        except LeaseLost as lost:
            self._lost = lost
            raise
        self._fresh_until = asked + self._lease_s * _SAFE_SHARE


def clock() -> float:
    """Return seconds of a clock that goes on while the machine sleeps, where there is one."""
    boottime = getattr(time, "CLOCK_BOOTTIME", None)
    return time.monotonic() if boottime is None else time.clock_gettime(boottime)
