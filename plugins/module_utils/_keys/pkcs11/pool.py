# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Workers kept busy: the first logs in alone, a dead one's batch goes to another, and done is compared with planned.

The parent only waits on pipes; it never loads the module and has no threads (ADR-0005). A worker is starting, idle,
busy or dead. A dead one is not replaced: a module that kills its process is named, and when no worker is left the run
stops. Requests are numbered, so that a late reply is never taken for another's.
"""

from __future__ import annotations

import os
import random
import time
from collections import deque
from collections.abc import Mapping, Sequence
from contextlib import nullcontext

from ..._domain.errors import LoginRefused, OpsError
from ..._domain.pkcs11_settings import Pkcs11Settings
from ..provider import FirstLogin
from . import forks
from .failures import LOGIN_UNANSWERED, SessionLimit, StartFailed, WorkerCrashed, WorkerLost
from .jobs import Job, PoolOptions, given_up
from .logins import Logins
from .process import Plain, Reply, WorkerProcess, opening, start, wait_for
from .run_as import account_of, failure_of

_START_ATTEMPTS = 3
_START_PAUSE = 0.15  # s, with jitter, doubled at each attempt
_HANDOVERS = 2  # how many workers one batch may cost before the run stops


class WorkerPool:
    """The workers of one provider. retries: calls and batches made again since `open`."""

    def __init__(self, settings: Pkcs11Settings, options: PoolOptions) -> None:
        self._settings = settings
        self._options = options
        self._account = account_of(settings)
        self._workers: list[WorkerProcess] = []
        self._logins = Logins()
        self._pid = os.getpid()
        self._next_job = 1
        self._last_loss: OpsError | None = None
        self._heard_at = 0.0  # monotonic s: the last reply of any worker
        self.info: Mapping[str, object] = {}
        self.retries = 0
        forks.abandon_in_children(self)

    def open(self, first_login: FirstLogin | None = None) -> None:
        """Start the workers; the first one alone, so that a wrong PIN costs one try. Raises OpsError pkcs11.*."""
        self._refuse_in_a_fork()
        try:
            with first_login or nullcontext() as self._logins.record:
                self.info = self._start_patiently()
            self._logins.record = None
            for _number in range(1, self._planned_workers()):
                if not self._start_another():
                    break
        except BaseException:
            self.close()
            raise

    def pids(self) -> tuple[int, ...]:
        """Return the process ids of the living workers."""
        return tuple(worker.pid for worker in self._workers)

    def on_every_worker(self, job: Job) -> list[Plain]:
        """Return each living worker's result; all work at once. Raises what any of them refuses."""
        self._refuse_when_closed()
        workers = list(self._workers)
        return self._run([job] * len(workers), each=workers)

    def run(self, jobs: Sequence[Job]) -> list[Plain]:
        """Return one result per job, in order. Raises OpsError when a job is refused or no worker is left."""
        self._refuse_when_closed()
        return self._run(jobs)

    def close(self) -> None:
        """Log out and end the workers. Safe to call twice, and in a forked child."""
        workers, self._workers = self._workers, []
        if os.getpid() == self._pid:
            for worker in workers:
                worker.ask_to_stop()
            limit = time.monotonic() + self._options.stop_timeout_s  # of all together
            for worker in workers:
                worker.stop(within_s=limit - time.monotonic())

    def abandon(self) -> None:
        """Forget the workers of the parent: called in a forked child."""
        workers, self._workers = self._workers, []
        for worker in workers:
            worker.abandon()

    # -- starting ------------------------------------------------------------------------------------------------

    def _planned_workers(self) -> int:
        cap = self.info.get("session_cap")
        return max(1, min(self._options.workers, cap) if isinstance(cap, int) else self._options.workers)

    def _start_another(self) -> bool:
        """Return whether one more worker is there; a session limit ends the growth, not the run."""
        try:
            self._start_patiently()
        except SessionLimit:
            return False
        return True

    def _start_patiently(self) -> Mapping[str, object]:
        """Return what the new worker says about its token. Never tries a PIN again."""
        for attempt in range(1, _START_ATTEMPTS + 1):
            try:
                return self._start()
            except StartFailed as failed:
                # UPSTREAM softhsm/SoftHSMv2#757: processes started together now and then see no token.
                if attempt == _START_ATTEMPTS:
                    if isinstance(failed, WorkerCrashed):
                        raise self._failure("pkcs11.load_crashed", failed.message) from None
                    raise
            self.retries += 1
            time.sleep(_START_PAUSE * 2**attempt * random.uniform(0.5, 1.5))  # noqa: S311  jitter, not a secret
        raise ValueError("unreachable: the last attempt raises or returns")

    def _start(self) -> Mapping[str, object]:
        configuration = opening(self._settings, login=self._options.login)
        worker = start(self._settings, self._account)
        self._workers.append(worker)
        try:
            info: Mapping[str, object] = self._run([Job("open", (), None)], each=[worker], with_pin=configuration)[0]
        except BaseException:
            self._drop(worker)
            raise
        return info

    # -- running -------------------------------------------------------------------------------------------------

    def _run(
        self,
        jobs: Sequence[Job],
        *,
        each: Sequence[WorkerProcess] | None = None,
        with_pin: Mapping[str, object] | None = None,
    ) -> list[Plain]:
        """Return one result per job. each: which worker is given each job, None for whoever is idle."""
        first = 0 if with_pin is not None else self._next_job
        self._next_job += len(jobs)
        todo = deque(range(len(jobs)))
        results: dict[int, Plain] = {}
        handovers = [0] * len(jobs)
        while len(results) < len(jobs):
            self._hand_out(todo, first, jobs, each, with_pin)
            if not any(worker.job is not None for worker in self._workers if each is None or worker in each):
                raise self._nobody_left()
            for worker, reply in self._wait():
                number = self._number_of(worker, first, len(jobs))
                worker.job = None
                if number is None and not isinstance(reply, OpsError):
                    continue  # the late reply of a run that was refused
                outcome: Plain = reply if number is None else self._outcome(worker, reply, jobs[number])
                if number is not None and not isinstance(outcome, OpsError):
                    results[number] = outcome
                elif isinstance(outcome, WorkerLost):
                    self._lose(worker, outcome, number, handovers, jobs)
                    todo.extendleft([] if number is None else [number])
                else:
                    raise outcome
        return [results[number] for number in range(len(jobs))]

    def _hand_out(
        self, todo: deque[int], first: int, jobs: Sequence[Job], each: Sequence[WorkerProcess] | None,
        with_pin: Mapping[str, object] | None,
    ) -> None:  # fmt: skip
        """Give what is to be done to those who are idle, or to whom it is meant for."""
        for _turn in range(len(todo)):
            number = todo.popleft()
            meant = self._workers if each is None else [worker for worker in self._workers if worker is each[number]]
            idle = [worker for worker in meant if worker.job is None]
            if idle:
                self._give(idle[0], first, number, jobs, with_pin)
            else:
                todo.append(number)

    def _give(
        self, worker: WorkerProcess, first: int, number: int, jobs: Sequence[Job], with_pin: Mapping[str, object] | None
    ) -> None:
        limit = self._options.batch_timeout_s if with_pin is None else self._options.start_timeout_s
        arguments: Plain = jobs[number].arguments if with_pin is None else dict(with_pin)
        worker.send(first + number, jobs[number].operation, arguments, deadline=time.monotonic() + limit)

    def _number_of(self, worker: WorkerProcess, first: int, count: int) -> int | None:
        """Return which job of this run the worker is busy with, None for one of an earlier run."""
        if worker.job is None or not first <= worker.job < first + count:
            return None
        return worker.job - first

    def _wait(self) -> list[tuple[WorkerProcess, Reply | OpsError]]:
        """Return (worker, reply or OpsError of its end) once something happened or a deadline passed."""
        reading, writing = [], []
        for worker in self._workers:
            to_read, to_write = worker.waiting_fds()
            reading += to_read
            writing += to_write
        nearest = min(worker.deadline for worker in self._workers if worker.job is not None)
        wait_for(reading, writing, max(0.0, nearest - time.monotonic()))
        happened: list[tuple[WorkerProcess, Reply | OpsError]] = []
        quiet: list[WorkerProcess] = []
        for worker in list(self._workers):
            came, alive = worker.advance()
            replies = [reply for reply in came if not self._logins.took(worker, reply)]
            happened += [(worker, reply) for reply in replies]
            self._heard_at = time.monotonic() if replies else self._heard_at
            if not replies and not alive:
                happened.append((worker, self._crash_of(worker)))
            elif not replies and worker.job is not None:
                quiet.append(worker)
        late = given_up(quiet, now=time.monotonic(), heard_at=self._heard_at)
        return happened + [(worker, self._timeout(worker)) for worker in late]

    def _outcome(self, worker: WorkerProcess, reply: Reply | OpsError, job: Job) -> Plain:
        """Return the value of a reply, or the OpsError it stands for: a refusal, or done is not what was planned."""
        if isinstance(reply, OpsError):
            return reply
        self.retries += int(reply[-1])
        if reply[1] == "refused":
            _kind, _number, code, message, facts, _library = reply
            refusal = self._failure(code, message, **facts)
            if self._logins.is_under_way(worker):
                self._logins.lose(worker, code)
            elif isinstance(refusal, LoginRefused):
                refusal.tried = False
            return refusal
        value = reply[2]
        if job.planned is not None and len(value) != job.planned:
            return self._failure(
                "pkcs11.batch_incomplete", f"{len(value)} results of {job.operation}, not {job.planned}"
            )
        return value

    # -- losing workers --------------------------------------------------------------------------------------------

    def _lose(
        self, worker: WorkerProcess, loss: OpsError, number: int | None, handovers: list[int], jobs: Sequence[Job]
    ) -> None:
        """Count the worker as dead. Raises the loss when its batch has cost too many workers already."""
        self._drop(worker)
        self._last_loss = loss
        if number is None:
            return
        handovers[number] += 1
        if handovers[number] >= _HANDOVERS or not jobs[number].repeatable:
            raise loss
        self.retries += 1

    def _drop(self, worker: WorkerProcess) -> None:
        worker.kill()
        self._logins.leave(worker)
        if worker in self._workers:
            self._workers.remove(worker)

    def _crash_of(self, worker: WorkerProcess) -> OpsError:
        worker.kill()
        return self._end_of(worker, "pkcs11.worker_crashed", f"the worker process died, {worker.ending()}")

    def _timeout(self, worker: WorkerProcess) -> OpsError:
        waited = round(time.monotonic() - worker.since, 1)
        said = f"{worker.doing} did not answer within {waited:g} s, and the worker process was ended"
        return self._end_of(worker, "pkcs11.worker_timeout", said)

    def _end_of(self, worker: WorkerProcess, code: str, message: str) -> OpsError:
        """Return the failure for a worker that ended; another one where its C_Login was not answered (X54)."""
        if not self._logins.is_under_way(worker):
            return self._failure(code, message)
        self._logins.lose(worker, LOGIN_UNANSWERED)
        return self._failure(LOGIN_UNANSWERED, f"C_Login was called and its answer never came: {message}")

    def _nobody_left(self) -> OpsError:
        return self._last_loss or self._failure("pkcs11.not_open", "no worker is running")

    def _failure(self, code: str, message: str, **facts: Plain) -> OpsError:
        known = {"library": str(self.info.get("library", "")), **facts}
        return failure_of(self._settings, self._account, code, message, **known)

    def _refuse_when_closed(self) -> None:
        self._refuse_in_a_fork()
        if not self._workers:
            raise self._nobody_left()

    def _refuse_in_a_fork(self) -> None:
        if os.getpid() != self._pid:
            raise self._failure("pkcs11.used_after_fork", "the provider was opened before this process was forked")
