# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Records read one batch ahead: the server works on the next answer while we work on this one.

A thread reads, and nothing else; whatever it meets is raised where its records are taken. Memory: three batches of
BATCH_BYTES, one on each side and one between them, beside the driver's own answer.
"""

from __future__ import annotations

import contextlib
import queue
import threading
from collections.abc import Iterator
from typing import TypeAlias

BATCH = 500  # records
BATCH_BYTES = 1024 * 1024
_LOOK_S = 0.1  # how soon the thread sees that nobody wants more
_END_S = 5.0  # how long the end waits for the server's last answer

_Batch: TypeAlias = list[bytes]


def read_ahead(items: Iterator[bytes]) -> Iterator[bytes]:
    """Yield the items, of which a thread takes the next ones meanwhile. `items` must be used by nobody else."""
    ready: queue.Queue[_Batch | BaseException | None] = queue.Queue(maxsize=1)
    stopped = threading.Event()

    def hand_over(batch: _Batch | BaseException | None) -> None:
        while not stopped.is_set():
            with contextlib.suppress(queue.Full):
                ready.put(batch, timeout=_LOOK_S)
                return

    def fetch() -> None:
        try:
            for batch in _batches(items):
                hand_over(batch)
                if stopped.is_set():
                    return
            hand_over(None)
        except BaseException as failure:  # noqa: BLE001 - raised again where the records are taken
            hand_over(failure)

    thread = threading.Thread(target=fetch, daemon=True)
    thread.start()
    try:
        while (batch := ready.get()) is not None:
            if isinstance(batch, BaseException):
                raise batch
            yield from batch
    finally:
        stopped.set()
        thread.join(_END_S)


def _batches(items: Iterator[bytes]) -> Iterator[_Batch]:
    batch, held = list[bytes](), 0
    for item in items:
        batch.append(item)
        held += len(item)
        if len(batch) >= BATCH or held >= BATCH_BYTES:
            yield batch
            batch, held = [], 0
    if batch:
        yield batch
