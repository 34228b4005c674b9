# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The work of a rotation that any number of processes share: ranges are claimed, re-wrapped, and said to be done.

The leader and those who help it run the same code. A claim is a lease: a process that is killed leaves one that runs
out, one that was paused finds it gone and writes nothing.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from itertools import groupby

from .._domain import rewrap_plan
from .._domain.envelope_layout import by_name
from .._domain.errors import LeaseLost
from .._domain.range_cuts import Range, range_of
from .._domain.rotation import Plan, Rotation, Share
from .._domain.values import Document
from .._domain.wrap_proof import Proof
from .._installation.installation import Installation
from .._installation.sealing import Sealing
from .._store import keystore, ranges, records, rotations
from .._store.lease_renewal import Keeper
from .batch import Resealer, Rewrapper, Tally
from .deadline import Deadline
from .options import Options
from .pipeline import CALLS_PER_ENVELOPE, Pace, Progress, RewrapStream

_NOTE_EVERY_S = 1.0
WORKERS_A_BATCH = 4


@dataclass(slots=True)
class Mine:
    """This process's part in a rotation: how it works, and what it did over all its turns at helping and leading.

    run: the run that it belongs to. earlier: what the run's slices before this one did. said: what of its own is in the
    rotation's counters. lease_s: seconds that a lease lasts without being renewed.
    """

    run: str
    pace: Pace
    lease_s: float
    deadline: Deadline
    proof: Proof
    earlier: Share
    progress: Progress = field(default_factory=Progress)
    said: Share = field(default_factory=Share)

    def over(self) -> bool:
        """Return whether the time is over. INVARIANT: not before something has moved, so that no slice is in vain."""
        return self.deadline.over() and bool(self.progress.rewrapped or self.progress.conflicts)

    def did(self, retries: int) -> Share:
        """Return what this process did so far. retries: of its provider."""
        done, proof = self.progress, self.proof
        return Share(done.rewrapped, done.conflicts, proof.made, proof.opened, retries)

    def share(self, retries: int) -> Share:
        """Return what the whole run did so far. retries: of the provider of this process."""
        return self.earlier.plus(self.did(retries))


def part_of(options: Options, since: Rotation | None, *, lease_s: float) -> Mine:
    """Return the part of a process that begins. since: the rotation's record as it is now."""
    run = options.slice_of or uuid.uuid4().hex
    return Mine(
        run=run,
        pace=Pace(batch_size(options, lease_s), options.hsm_share),
        lease_s=lease_s,
        deadline=Deadline(options.max_seconds),
        proof=Proof(options.prove_wraps),
        earlier=since.share(run) if since is not None else Share(),
    )


def batch_size(options: Options, lease_s: float) -> int:
    """Return documents a batch: `batch_size` for every four workers or part of them, and few enough that the pause of a
    small HSM share is over long before the lease.

    WHY more for more workers: all of them wait for the slowest one at the end of each batch.
    """
    documents = options.batch_size * -(-options.workers // WORKERS_A_BATCH)
    if not options.hsm_share:
        return documents
    return max(1, min(documents, int(options.hsm_share * lease_s) // (3 * CALLS_PER_ENVELOPE)))


class SharedWork:
    """This process's part in following a plan: what it moved, and the way to move more."""

    def __init__(self, installation: Installation, plan: Plan, mine: Mine) -> None:
        self._store = installation.store
        self._catalogue = installation.catalogue
        self._provider = installation.provider
        self._plan = plan
        self._mine = mine
        mover = Resealer if plan.compromised else Rewrapper
        sealing = Sealing(installation.provider, by_name(plan.layout))
        rewrapper = mover(self._store, sealing, installation.catalogue, plan, proof=mine.proof)
        self._stream = RewrapStream(
            rewrapper, pace=mine.pace, progress=mine.progress, over=mine.over, spend=self._spend, note=self._note
        )
        self._unsaid = Tally()
        self._said_at = time.monotonic()

    def work_off(self, *, from_the_end: bool = False) -> None:
        """Move the ranges that nobody has, until none is free or the time is over.

        from_the_end: for those who help, so that they meet the leader instead of following it.
        """
        free = ranges.free(self._store, self._plan)
        for collection in sorted(free, reverse=from_the_end):
            if self._mine.over():
                break
            self._walk(collection, free[collection], from_the_end=from_the_end)
        self.say()

    def sweep(self, collection: str, guard: Callable[[], None]) -> int:
        """Move what is left in a whole collection; return how many envelopes moved or were contended."""
        return self._stream.run(collection, self._documents(collection, {}, ordered=False), guard=guard)

    def say(self) -> None:
        """Put what was done since the last time into the rotation's counters."""
        unsaid, self._unsaid, self._said_at = self._unsaid, Tally(), time.monotonic()
        now, said = self._mine.did(self._provider.retries), self._mine.said
        # WHY the batches' own counts: one that is just written is not in the progress yet.
        did = Share(
            unsaid.rewrapped,
            unsaid.conflicts,
            now.made - said.made,
            now.opened - said.opened,
            now.retries - said.retries,
        )
        if did != Share():
            self._mine.said = now
            rotations.note(self._store, self._plan.name, self._mine.run, did)

    def _walk(self, collection: str, free: list[tuple[str, Range]], *, from_the_end: bool) -> None:
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
            self._claimed(free[number][0], collection, inside)
            if self._mine.over():
                return
        for number, (range_id, _part) in enumerate(free):
            if number not in entered:  # nothing is left in it: whoever had it was killed before saying so
                self._claimed(range_id, collection, iter(()))

    def _claimed(self, range_id: str, collection: str, documents: Iterator[Document]) -> None:
        """Move the documents of a range if it can be claimed."""
        lease_s = self._mine.lease_s
        claim = ranges.claim(self._store, self._plan, range_id, lease_s=lease_s)
        if claim is None:
            return
        done = False
        try:
            renew = partial(ranges.renew, self._store, claim, lease_s=lease_s)
            with Keeper(renew, lease_s, since=claim.asked_at) as kept:
                self._stream.run(collection, documents, guard=kept.require)
            done = not self._mine.progress.timed_out
        except LeaseLost:
            pass  # whoever has the range now moves it
        finally:
            if done:
                self.say()  # WHY first: the leader may end the rotation as soon as no range is left, and its record
                ranges.finish(self._store, claim)
            else:
                ranges.give_back(self._store, claim)

    def _documents(
        self, collection: str, within: Document, *, descending: bool = False, ordered: bool = True
    ) -> Iterator[Document]:
        """Yield what is not wholly at the target, in batches of the pace: an idle cursor dies on the server."""
        query = {**within, **rewrap_plan.selection(self._catalogue.fields(collection), self._plan.to_version)}
        size = self._mine.pace.batch_size
        return records.stream(self._store, collection, query, batch_size=size, descending=descending, ordered=ordered)

    def _spend(self, wraps: int) -> None:
        # WHY before they are made: a crash then counts too many and never too few.
        keystore.spend(self._store, self._plan.to_version, wraps)

    def _note(self, tally: Tally) -> None:
        self._unsaid.rewrapped += tally.rewrapped
        self._unsaid.conflicts += tally.conflicts
        if time.monotonic() - self._said_at >= _NOTE_EVERY_S:
            self.say()
