# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A signal that ends a module unwinds it, so that leases are given back and unfinished files go (X27).

Without this SIGTERM and SIGHUP end Python on the spot: what was half written stays, keys in clear among it.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import TYPE_CHECKING

from .._domain.errors import OpsError

if TYPE_CHECKING:
    from sys import UnraisableHookArgs

ENDING = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
_AGAIN_S = 0.02


class Stopped(BaseException):
    """A signal asked this process to end. WHY no Exception: who catches those goes on, and this must not."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number
        self.name = signal.Signals(number).name

    def as_failure(self) -> OpsError:
        """Return what the module says of it, for as long as somebody still listens."""
        return OpsError(
            f"stopped by {self.name}",
            code="run.stopped",
            hint="what was written before it stays, unfinished files are gone, and running again is safe",
            retryable=True,
        )


@contextmanager
def unwinding() -> Iterator[None]:
    """Raise Stopped in this block at the first signal that would end it; further ones are passed over.

    A signal that was ignored before, as `nohup` does, stays so.
    """
    if threading.current_thread() is not threading.main_thread():
        yield  # signals are the main thread's
        return
    before = {number: signal.getsignal(number) for number in ENDING}

    def stop(number: int, _frame: FrameType | None) -> None:
        for other in ENDING:  # WHY: a second one would end the unwinding, and leave what it was about to remove
            signal.signal(other, signal.SIG_IGN)
        raise Stopped(number)

    def not_raised(lost: UnraisableHookArgs) -> None:
        # WHY: an exception that comes while an object is taken down goes no further, and the signal would be lost. It
        # is sent again from elsewhere, because here it would be lost once more.
        if isinstance(lost.exc_value, Stopped):
            signal.signal(lost.exc_value.number, stop)
            again = threading.Timer(_AGAIN_S, os.kill, (os.getpid(), lost.exc_value.number))
            again.daemon = True
            again.start()
        else:
            unraisable(lost)

    unraisable, sys.unraisablehook = sys.unraisablehook, not_raised
    try:
        for number, handler in before.items():
            if handler is not signal.SIG_IGN:
                signal.signal(number, stop)
        yield
    finally:
        sys.unraisablehook = unraisable
        for number, handler in before.items():
            signal.signal(number, handler if handler is not None else signal.SIG_DFL)
