# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A stream of documents re-wrapped: while one batch is being written, the next one is read and given its new wraps.

Memory is bounded whatever the size of the collection and of its documents (X42): one batch of at most 16 MiB is held
as it was read, beside one answer of the server, which has at most as much; of the batch that is being written only the
updates are kept.
"""

from __future__ import annotations

import gc
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field

from .._installation.sealing import Failure
from .._store import records
from .._store.driver import Document
from .batch import Prepared, Rewrapper, Tally

COLLECTED_AFTER = 50_000  # objects: about eight batches
CALLS_PER_ENVELOPE = 3  # unwrap, wrap, and the unwrap that proves the wrap


@dataclass(slots=True)
class Progress:
    """What one process did. failures: by place, so that one that is met again counts once."""

    rewrapped: int = 0
    conflicts: int = 0
    failures: dict[str, Failure] = field(default_factory=dict)
    timed_out: bool = False

    def add(self, tally: Tally) -> None:
        self.rewrapped += tally.rewrapped
        self.conflicts += tally.conflicts
        self.failures.update({failure.place: failure for failure in tally.failures})


@dataclass(frozen=True, slots=True)
class Pace:
    """batch_size: documents. hsm_share: HSM calls a second of this process at most, 0 for no limit."""

    batch_size: int
    hsm_share: int = 0


@contextmanager
def rare_collections() -> Iterator[None]:
    """Let the cycle collector look after 50,000 new objects instead of 700, and as before afterwards.

    WHY: a batch is thousands of objects and none of them is in a cycle, but each 700 of them have the collector look,
    now and then at all that the interpreter has loaded: a fifth of the time of a re-wrap. SAFE BECAUSE what is in no
    cycle is freed at once, as ever; what is waits for 50,000 objects at most.
    """
    before = gc.get_threshold()
    gc.set_threshold(COLLECTED_AFTER, *before[1:])
    try:
        yield
    finally:
        gc.set_threshold(*before)


class RewrapStream:
    """Moves whatever is under another version.

    over: asked before each batch, whether the time is over. spend: told how many wraps, before any is made.
    note: called after each batch with what it did.
    """

    def __init__(
        self, rewrapper: Rewrapper, *, pace: Pace, progress: Progress,
        over: Callable[[], bool], spend: Callable[[int], None], note: Callable[[Tally], None],
    ) -> None:  # fmt: skip
        self._rewrapper = rewrapper
        self._pace = pace
        self._progress = progress
        self._over = over
        self._spend = spend
        self._note = note

    def run(self, collection: str, documents: Iterator[Document], *, guard: Callable[[], None]) -> int:
        """Return how many envelopes moved or were contended. documents: of this collection, read as they are asked for.

        guard: called before each write, raises when it must not be made. Stops between two batches when the time is
        over.
        """
        moved = 0
        writing: Future[Tally] | None = None
        with rare_collections(), ThreadPoolExecutor(1, "writer") as writer:
            for batch in records.bounded_batches(documents, self._pace.batch_size):
                if self._over():
                    self._progress.timed_out = True
                    break
                began = time.monotonic()
                prepared = self._rewrapper.prepare(collection, batch, spend=self._spend)
                moved += self._written(writing)
                writing = writer.submit(self._write, prepared, guard)
                self._leave_the_rest(prepared.envelopes, began)
                del batch, prepared  # WHY: the next one is read before these names are given to it
            moved += self._written(writing)
        return moved

    def _write(self, prepared: Prepared, guard: Callable[[], None]) -> Tally:
        guard()
        tally = self._rewrapper.write(prepared)
        self._note(tally)
        return tally

    def _written(self, writing: Future[Tally] | None) -> int:
        """Wait for the batch under way and take up what it did."""
        if writing is None:
            return 0
        tally = writing.result()
        self._progress.add(tally)
        return tally.rewrapped + tally.conflicts

    def _leave_the_rest(self, envelopes: int, began: float) -> None:
        """Pause so that no more than `hsm_share` calls a second go to the HSM: production shares it."""
        if self._pace.hsm_share:
            calls = envelopes * CALLS_PER_ENVELOPE
            time.sleep(max(0.0, calls / self._pace.hsm_share - (time.monotonic() - began)))
