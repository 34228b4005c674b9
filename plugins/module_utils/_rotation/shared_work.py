# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The work of a rotation that any number of processes share: ranges are claimed, re-wrapped, and said to be done.

The leader and those who help it run the same code. A claim is a lease: a process that is killed leaves one that runs
out, one that was paused finds it gone and writes nothing.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

from .._domain import rewrap_plan
from .._domain.catalogue import Found
from .._domain.envelope import Envelope
from .._domain.errors import LeaseLost
from .._domain.range_cuts import Range, range_of
from .._domain.wrap_proof import Proof
from .._installation.installation import Installation
from .._installation.layout_detection import detect_layout
from .._installation.sealing import Sealing
from .._store import ranges, records, rotations
from .._store.driver import Document
from .._store.lease_renewal import Keeper
from .batch import Resealer, Rewrapper, Tally
from .pipeline import Deadline, Pace, Progress, RewrapStream

_NOTE_EVERY_S = 1.0


@dataclass(frozen=True, slots=True)
class RotationPlan:
    """What a run does. facts: from_versions, to_version and compromised as they are recorded. lease_s: seconds that a
    lease lasts without being renewed. settle_timeout: as in rotate.Options.
    """

    to_version: int
    facts: Mapping[str, Any]
    pace: Pace
    lease_s: float
    settle_timeout: int

    @property
    def name(self) -> str:
        return rotations.rotation_id(self.to_version)


@dataclass(frozen=True, slots=True)
class Mine:
    """What this process did so far, over all its turns at helping and leading."""

    progress: Progress
    proof: Proof


class SharedWork:
    """This process's part in a rotation: what it moved, and the way to move more. sample: shows the layout."""

    def __init__(
        self, installation: Installation, plan: RotationPlan, sample: Sequence[tuple[Found, Envelope]], *, mine: Mine,
        deadline: Deadline,
    ) -> None:  # fmt: skip
        self.progress, self.proof = mine.progress, mine.proof
        self._store = installation.store
        self._catalogue = installation.catalogue
        self._provider = installation.provider
        self._plan = plan
        self._deadline = deadline
        mover = Resealer if plan.facts["compromised"] else Rewrapper
        sealing = Sealing(installation.provider, detect_layout(installation.provider, sample))
        rewrapper = mover(self._store, sealing, installation.catalogue, plan.to_version, proof=self.proof)
        self._stream = RewrapStream(
            self._store, rewrapper, plan.to_version,
            pace=plan.pace, deadline=deadline, progress=self.progress, note=self._note,
        )  # fmt: skip
        self._unsaid = Tally()
        self._said_at = time.monotonic()

    def account(self) -> dict[str, Any]:
        """Return {proof, retries} of this process, as modules show it."""
        return {"proof": self.proof.as_result(), "retries": self._provider.retries}

    def over(self) -> bool:
        """Return whether the time is over; what was stopped by it is marked so."""
        self.progress.timed_out = self.progress.timed_out or self._deadline.over()
        return self.progress.timed_out

    def work_off(self, token: int, *, from_the_end: bool = False) -> None:
        """Move the ranges that the leader with this token laid, until none is free or the time is over.

        from_the_end: for those who help, so that they meet the leader instead of following it.
        """
        free = ranges.free(self._store, self._plan.name, token)
        for collection in sorted(free, reverse=from_the_end):
            if self.over():
                break
            self._walk(collection, free[collection], token, from_the_end=from_the_end)
        self.say()

    def sweep(self, collection: str, guard: Callable[[], None]) -> int:
        """Move what is left in a whole collection; return how many envelopes moved or were contended."""
        return self._stream.run(collection, self._documents(collection, {}, ordered=False), guard=guard)

    def say(self) -> None:
        """Put what was done since the last time into the rotation's counters."""
        unsaid, self._unsaid, self._said_at = self._unsaid, Tally(), time.monotonic()
        if unsaid.rewrapped or unsaid.conflicts:
            rotations.note(self._store, self._plan.name, rewrapped=unsaid.rewrapped, conflicts=unsaid.conflicts)

    def _walk(self, collection: str, free: list[tuple[str, Range]], token: int, *, from_the_end: bool) -> None:
        """Read a collection once, claim each range that is entered, and pass over those that others have.

        WHY one reading for all ranges: a server that finds ids without an index would read everything for each.
        """
        parts = [part for _name, part in free]
        lows = [part.low for part in parts]
        whole = Range(collection, lows[0], parts[-1].high, 0)
        documents = self._documents(collection, whole.query(), descending=from_the_end)
        entered = set()
        for number, inside in groupby(documents, key=lambda document: range_of(document["_id"], parts, lows)):
            if number is None:
                continue
            entered.add(number)
            self._claimed(free[number][0], token, collection, inside)
            if self.over():
                return
        for number, (range_id, _part) in enumerate(free):
            if number not in entered:  # nothing is left in it: whoever had it was killed before saying so
                self._claimed(range_id, token, collection, iter(()))

    def _claimed(self, range_id: str, token: int, collection: str, documents: Iterator[Document]) -> None:
        """Move the documents of a range if it can be claimed."""
        lease_s = self._plan.lease_s
        claim = ranges.claim(self._store, self._plan.name, token, range_id, lease_s=lease_s)
        if claim is None:
            return
        left = True
        try:
            with Keeper(lambda: ranges.renew(self._store, claim, lease_s=lease_s), lease_s) as kept:
                self._stream.run(collection, documents, guard=kept.require)
            left = self.progress.timed_out
        except LeaseLost:
            pass  # whoever has the range now moves it
        finally:
            if left:
                ranges.give_back(self._store, claim)
            else:
                ranges.finish(self._store, claim)

    def _documents(
        self, collection: str, within: Mapping[str, Any], *, descending: bool = False, ordered: bool = True
    ) -> Iterator[Document]:
        """Yield what is not wholly at the target, in batches of the pace: an idle cursor dies on the server."""
        query = {**within, **rewrap_plan.selection(self._catalogue.fields(collection), self._plan.to_version)}
        size = self._plan.pace.batch_size
        return records.stream(self._store, collection, query, batch_size=size, descending=descending, ordered=ordered)

    def _note(self, tally: Tally) -> None:
        self._unsaid.rewrapped += tally.rewrapped
        self._unsaid.conflicts += tally.conflicts
        if time.monotonic() - self._said_at >= _NOTE_EVERY_S:
            self.say()
