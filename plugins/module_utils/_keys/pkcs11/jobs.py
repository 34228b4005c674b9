# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a pool is asked to do, within which times, and whom it gives up. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol, TypeVar

from .process import Plain


@dataclass(frozen=True, slots=True)
class PoolOptions:
    """workers: processes, each with one session. batch_timeout_s: for one request to one worker.

    login: False for a look at the library that tries no PIN.
    """

    workers: int = 1
    batch_timeout_s: float = 120.0
    start_timeout_s: float = 60.0
    stop_timeout_s: float = 5.0
    login: bool = True


@dataclass(frozen=True, slots=True)
class Job:
    """operation: one of the worker's. planned: how many results it must bring, None = not a list.

    repeatable: another worker may be given it when the first one is lost over it.
    """

    operation: str
    arguments: tuple[Plain, ...] = field(repr=False)  # PINs may be among them
    planned: int | None = None
    repeatable: bool = True


class Busy(Protocol):
    """A worker that has not answered yet. since, deadline: of its request, monotonic s."""

    since: float
    deadline: float


B = TypeVar("B", bound=Busy)


def given_up(quiet: Sequence[B], *, now: float, heard_at: float) -> list[B]:
    """Return the workers whose deadline has passed, and those that are given up together with them.

    quiet: those who are busy. heard_at: when the last reply of any worker came. WHY together: where nobody was heard
    since the first of them was asked it is the HSM that hangs, and one deadline after the other would be waited for
    (X60). One that was asked much later keeps its time.
    """
    late = [worker for worker in quiet if now >= worker.deadline]
    if not late or heard_at > min(worker.since for worker in late):
        return late
    return [worker for worker in quiet if now >= (worker.since + worker.deadline) / 2]
