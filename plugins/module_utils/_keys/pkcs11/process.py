# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One worker process as its parent sees it: a pipe in, a pipe out, a tail of its standard error, an end.

Nothing here blocks: the pool waits for all workers at once and keeps the deadlines.
"""

from __future__ import annotations

import contextlib
import marshal
import os
import select
import subprocess
import sys
import time
from typing import IO, Any, TypeAlias

from ..._domain.pkcs11_settings import Pkcs11Settings
from . import bootstrap, run_as
from .run_as import Account

_TAIL = 2048  # bytes of standard error kept
_CHUNK = 1 << 16
_FRAME_LIMIT = 64 * 1024 * 1024  # bytes
_PRIVATE_PREFIX = "CERTAUTOPILOT_"  # variables of the product hold secrets; no vendor's library reads them


Plain: TypeAlias = Any
"""What goes through the pipe: builtin types, of the shape that each operation in `worker/main.py` takes and returns."""

Reply: TypeAlias = tuple[Plain, ...]
"""A frame from the worker, see `worker/main.py`."""


def opening(settings: Pkcs11Settings, *, login: bool) -> dict[str, Plain]:
    """Return what a worker is told first: `Configuration` in `worker/session.py`."""
    return {
        "module_path": settings.module_path,
        "token_label": settings.token_label,
        "token_serial": settings.token_serial,
        "pin": settings.pin.reveal() if settings.pin is not None and login else "",
        "login": login,
        "parent_pid": os.getpid() if not settings.launch else None,  # none of one that is launched elsewhere
    }


def start(settings: Pkcs11Settings, account: Account | None) -> WorkerProcess:
    """Return a new worker. Raises OpsError pkcs11.run_as when its user cannot run this interpreter."""
    try:
        return WorkerProcess(settings, account)
    except PermissionError as cause:
        if account is None:
            raise
        raise run_as.not_started(settings, account, sys.executable, cause) from None


class WorkerProcess:
    """A started worker. account: as whom, None for us.

    job: the number of the request it is busy with, None when idle. since, deadline: of that request, monotonic s.
    doing: the call or operation that it is in, as far as it is known here.
    """

    def __init__(self, settings: Pkcs11Settings, account: Account | None = None) -> None:
        self.job: int | None = None
        self.since = self.deadline = 0.0
        self.doing = ""
        self._incoming = bytearray()
        self._outgoing = bytearray()
        self._tail = bytearray()
        # WHY not run_command, as Ansible's rule asks: it returns when the program has ended, and a worker lives as long
        # as the module and is talked to all the time. What the rule is about holds: no shell, no secret in argv.
        self._process = subprocess.Popen(  # pylint: disable=ansible-bad-function
            [*settings.launch, *bootstrap.command()],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=_environment(settings, account),
            cwd="/",
            bufsize=0,
            **_as_user(account),
        )  # runs: python
        self.pid = self._process.pid
        for stream in self._streams():
            os.set_blocking(stream.fileno(), False)
        self._queue(bootstrap.program())

    def send(self, job: int, operation: str, arguments: Plain, *, deadline: float) -> None:
        """Queue a request; the worker is busy until its reply or the deadline."""
        self.job, self.since, self.deadline, self.doing = job, time.monotonic(), deadline, operation
        self._queue(marshal.dumps((job, operation, arguments)))

    def answer_login(self, refusal: tuple[str, str] | None) -> None:
        """Let the worker call C_Login, or tell it (code, message) why not."""
        self._queue(marshal.dumps((self.job, "login", refusal)))

    def waiting_fds(self) -> tuple[list[int], list[int]]:
        """Return (descriptors to read, descriptors to write) that would bring this worker on."""
        if self._process.stdin is None or self._process.stdout is None or self._process.stderr is None:
            return [], []
        reading = [stream.fileno() for stream in (self._process.stdout, self._process.stderr) if not stream.closed]
        writing = [self._process.stdin.fileno()] if self._outgoing and not self._process.stdin.closed else []
        return reading, writing

    def advance(self) -> tuple[list[Reply], bool]:
        """Write and read what the pipes take and give. Return (replies, whether the worker is still there)."""
        self._write()
        self._read_tail()
        alive = self._read_replies()
        replies = []
        while (body := self._next_body()) is not None:
            replies.append(marshal.loads(body))  # noqa: S302  written by our own worker, over a pipe of its own
        return replies, alive

    def kill(self) -> None:
        """End the worker at once, wherever it hangs, and reap it; `job` still says what it was busy with."""
        with contextlib.suppress(ProcessLookupError):
            self._process.kill()
        self._finish()

    def ask_to_stop(self) -> None:
        """Close its input, so that it logs out and ends."""
        if self._process.stdin is not None:
            self._process.stdin.close()

    def stop(self, *, within_s: float) -> None:
        """Wait for the end of a worker that was asked to stop; kill it after `within_s`."""
        limit = time.monotonic() + within_s
        while self._process.poll() is None and time.monotonic() < limit:
            self._read_replies()  # WHY: a worker blocked on a full pipe would never see the end of file
            self._read_tail()
            time.sleep(0.005)
        self.kill()

    def ending(self) -> str:
        """Return how it ended ("killed by signal 11", "exit status 3") and the end of what it printed."""
        status = self._process.poll()
        how = "still running" if status is None else f"killed by signal {-status}" if status < 0 else f"exit {status}"
        printed = bytes(self._tail).decode("utf-8", "replace").strip()
        return f"{how}; it printed: {printed[-600:]}" if printed else how

    def abandon(self) -> None:
        """Close our ends without a word: for a forked child, which must not hold the worker's pipes open."""
        for stream in self._streams():
            with contextlib.suppress(OSError):
                stream.close()

    def _queue(self, body: bytes) -> None:
        self._outgoing += len(body).to_bytes(4, "big") + body

    def _streams(self) -> list[IO[bytes]]:
        found = (self._process.stdin, self._process.stdout, self._process.stderr)
        return [stream for stream in found if stream is not None]

    def _write(self) -> None:
        if self._process.stdin is None or self._process.stdin.closed:
            return
        while self._outgoing:
            try:
                written = os.write(self._process.stdin.fileno(), self._outgoing[:_CHUNK])
            except BlockingIOError:
                return
            except OSError:  # it is gone; reading finds out
                self._outgoing.clear()
                return
            # INVARIANT: what was sent is cut off at once; the opening holds the PIN and is not kept.
            del self._outgoing[:written]

    def _read_replies(self) -> bool:
        """Return False at end of file."""
        if self._process.stdout is None or self._process.stdout.closed:
            return False
        while True:
            try:
                part = os.read(self._process.stdout.fileno(), _CHUNK)
            except BlockingIOError:
                return True
            if not part:
                return False
            self._incoming += part

    def _read_tail(self) -> None:
        if self._process.stderr is None or self._process.stderr.closed:
            return
        with contextlib.suppress(BlockingIOError):
            while part := os.read(self._process.stderr.fileno(), _CHUNK):
                self._tail = (self._tail + part)[-_TAIL:]
            self._process.stderr.close()  # at its end; open, it would wake the pool for ever

    def _next_body(self) -> bytes | None:
        if len(self._incoming) < 4:
            return None
        length = int.from_bytes(self._incoming[:4], "big")
        if length > _FRAME_LIMIT or len(self._incoming) < 4 + length:
            return None
        body = bytes(self._incoming[4 : 4 + length])
        del self._incoming[: 4 + length]
        return body

    def _finish(self) -> None:
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(timeout=5)
        self._read_tail()
        self.abandon()


def _environment(settings: Pkcs11Settings, account: Account | None) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(_PRIVATE_PREFIX)}
    return {**(kept if account is None else account.environment(kept)), **settings.environment}


def _as_user(account: Account | None) -> dict[str, Any]:
    if account is None:
        return {}
    user = {"user": account.uid, "group": account.gid, "extra_groups": list(account.groups)}
    return {**user, "umask": run_as.UMASK}


def wait_for(reading: list[int], writing: list[int], timeout_s: float) -> None:
    """Return when a descriptor is ready or ended, or the time is over."""
    poller = select.poll()
    for descriptor in reading:
        poller.register(descriptor, select.POLLIN)
    for descriptor in writing:
        poller.register(descriptor, select.POLLOUT)
    poller.poll(timeout_s * 1000 + 1)
