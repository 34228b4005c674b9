# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The worker process: frames in, frames out, until end of file. One C_Initialize, one login, one session.

Started by `process.py` through `bootstrap.py`. Frame: 4 bytes length, big endian, then a
marshalled tuple. Request (job, operation, arguments); reply (job, "ok", value, retries) or
(job, "refused", code, message, facts, retries). Job 0 is the opening: its request is the configuration with the PIN.
Signs come before the reply, and have no retries: (job, "at", call) says which call is next, (job, "login") asks for
leave to call C_Login and is answered by (job, "login", (code, message) or None), (job, "logged in") says CKR_OK.
Operations: `_operations`.
"""

from __future__ import annotations

import faulthandler
import marshal
import os
import signal
import sys
from collections.abc import Callable
from functools import partial
from typing import Any, TypeAlias

from . import examine, keys, token_setup
from .base import Refusal, is_transient
from .ckr import ckr
from .engine import Engine
from .function_list import die_with_parent
from .private_memory import keep_private
from .session import HsmSession, TokenInfo

_FRAME_LIMIT = 64 * 1024 * 1024  # bytes

Request: TypeAlias = tuple[int, str, Any]
"""Job, operation, and its arguments as a tuple; for job 0 the `Configuration`."""

Reply: TypeAlias = tuple[Any, ...]
"""Job, "ok" or "refused", and what follows; see above."""


def main() -> None:
    """Serve the parent. Ends with the parent, at end of file, or after an opening that was refused."""
    keep_private()
    requests, replies = _take_protocol()
    opening = _read_frame(requests)
    if opening is None:
        return
    _kind, _number, config = opening
    die_with_parent()
    if config.get("parent_pid") not in (None, os.getppid()):
        return  # the parent died while this process was starting
    gate = _ParentsGate(requests, replies)
    hsm = HsmSession(config, gate)
    engine = Engine(hsm)
    operations = _operations(hsm, engine)
    reply = _answer(0, partial(_open, hsm), engine)
    _write_frame(replies, reply)
    while reply[1] == "ok" or reply[0] != 0:
        request = _read_frame(requests)
        if request is None:
            break
        job, operation, arguments = request
        gate.job = job
        reply = _answer(job, partial(operations[operation], *arguments), engine)
        _write_frame(replies, reply)
    hsm.close()


class _ParentsGate:
    """Asks the parent before each C_Login. job: what this worker is busy with."""

    def __init__(self, requests: int, replies: int) -> None:
        self._requests = requests
        self._replies = replies
        self.job = 0

    def at(self, call: str) -> None:
        """See `Gate`."""
        _write_frame(self._replies, (self.job, "at", call))

    def enter(self) -> None:
        """See `Gate`."""
        _write_frame(self._replies, (self.job, "login"))
        answer = _read_frame(self._requests)
        if answer is None:
            raise Refusal("pkcs11.not_open", "the run ended before this worker could log in")
        if answer[2] is not None:
            raise Refusal(*answer[2])

    def passed(self) -> None:
        """See `Gate`."""
        _write_frame(self._replies, (self.job, "logged in"))


def _open(hsm: HsmSession) -> TokenInfo | dict[str, object]:
    hsm.open()
    return hsm.info() if hsm.is_open else {"library": hsm.library_text()}


def _operations(hsm: HsmSession, engine: Engine) -> dict[str, Callable[..., object]]:
    persist = engine.persist
    return {
        "probe": engine.probe,
        "count": partial(persist, keys.count, hsm),
        "generate": partial(keys.generate, hsm),  # never made again by itself
        "destroy": partial(keys.destroy, hsm),  # never again by itself
        "describe": partial(persist, keys.describe_one, hsm),
        "load": engine.load,
        "wrap": engine.wrap,
        "unwrap": engine.unwrap,
        "try": partial(engine.unwrap, trial=True),
        "rewrap": engine.rewrap,
        "slots": partial(examine.slots, hsm),
        "our_token": partial(examine.our_token, hsm),
        "mechanisms": partial(examine.mechanisms, hsm),
        "gcm": partial(examine.gcm, hsm),
        "token_key": partial(examine.token_key, hsm),  # never again by itself
        "make_token": partial(token_setup.make_token, hsm),  # never again by itself
        "set_user_pin": partial(token_setup.set_user_pin, hsm),  # never again by itself
        "measure": partial(examine.measure, hsm),
    }


def _answer(job: int, call: Callable[[], object], engine: Engine) -> Reply:
    try:
        value = call()
    except Refusal as refusal:
        facts = {"library": engine.hsm.library_text(), **refusal.facts}
        return (job, "refused", refusal.code, refusal.message, facts, engine.take_retries())
    except Exception as error:  # noqa: BLE001  the parent names it; its text may hold arguments, so only known text leaves
        code = "pkcs11.session_lost" if is_transient(error) else "pkcs11.operation_failed"
        return (job, "refused", code, f"the module failed with {_known_text(error)}", {}, engine.take_retries())
    return (job, "ok", value, engine.take_retries())


def _known_text(error: BaseException) -> str:
    return ckr(error) if type(error).__module__.startswith("pkcs11") else type(error).__name__


def _take_protocol() -> tuple[int, int]:
    """Return (requests, replies): private copies of 0 and 1, which then lead to nothing and to standard error.

    WHY: a vendor's library that prints would otherwise write into the frames, or read from them.
    """
    requests, replies = os.dup(0), os.dup(1)
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    os.dup2(2, 1)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a Ctrl-C is the parent's to answer
    faulthandler.enable(sys.stderr)
    return requests, replies


def _read_frame(descriptor: int) -> Request | None:
    """Return the next frame's content, None at end of file."""
    head = _read_exactly(descriptor, 4)
    if head is None:
        return None
    length = int.from_bytes(head, "big")
    if length > _FRAME_LIMIT:
        return None
    body = _read_exactly(descriptor, length)
    if body is None:
        return None
    request: Request = marshal.loads(body)  # noqa: S302  written by our parent, over a pipe of its own
    return request


def _read_exactly(descriptor: int, length: int) -> bytes | None:
    parts: list[bytes] = []
    while length:
        part = os.read(descriptor, min(length, 1 << 20))
        if not part:
            return None
        parts.append(part)
        length -= len(part)
    return b"".join(parts)


def _write_frame(descriptor: int, content: Reply) -> None:
    body = marshal.dumps(content)
    frame = memoryview(len(body).to_bytes(4, "big") + body)
    while frame:
        frame = frame[os.write(descriptor, frame) :]
