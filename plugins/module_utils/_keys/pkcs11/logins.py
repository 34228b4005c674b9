# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which worker of a run may call C_Login: one at a time, and none after one that did not end with CKR_OK (X54).

A token counts wrong PINs, and an answer that was lost may have been "wrong". So the parent, which outlives its workers,
gives leave before each login and is told of each success; whatever else becomes of a login ends all logins of the run.
"""

from __future__ import annotations

from collections import deque

from ..provider import LoginRecord
from .process import Reply, WorkerProcess

_AT, _ASKS, _PASSED = "at", "login", "logged in"  # signs of a worker, see `worker/main.py`


class Logins:
    """The logins of one run. record: of its first login, None for the others. lost: code of the one that ended it."""

    def __init__(self) -> None:
        self.record: LoginRecord | None = None
        self.lost: str = ""
        self._under_way: WorkerProcess | None = None
        self._waiting: deque[WorkerProcess] = deque()

    def took(self, worker: WorkerProcess, reply: Reply) -> bool:
        """Return whether a frame was a sign of a worker, not a reply; and act on it. Raises what `record` raises."""
        kind = reply[1]
        if kind == _AT:
            worker.doing = str(reply[2])
        elif kind == _ASKS:
            self._waiting.append(worker)
            self._next()
        elif kind == _PASSED:
            self._under_way = None
            if self.record is not None:
                self.record.passed()
            self._next()
        else:
            return False
        return True

    def is_under_way(self, worker: WorkerProcess) -> bool:
        """Return whether the worker is in C_Login as far as it is known here."""
        return self._under_way is worker

    def lose(self, worker: WorkerProcess, code: str) -> None:
        """End the logins of this run: the worker's one ended, and not with CKR_OK."""
        self._under_way, self.lost = None, code
        self._next()
        self.leave(worker)

    def leave(self, worker: WorkerProcess) -> None:
        """Forget a worker that waits."""
        self._waiting = deque(other for other in self._waiting if other is not worker)

    def _next(self) -> None:
        while self._waiting and self.lost:
            message = "a login of this run did not end with CKR_OK; the user PIN is not tried again"
            self._waiting.popleft().answer_login((self.lost, message))
        if self._waiting and self._under_way is None:
            if self.record is not None:
                self.record.begins()
            self._under_way = self._waiting.popleft()
            self._under_way.answer_login(None)
