# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Re-wrapping one batch of documents: open, wrap, check, compare-and-set; failures named, conflicts counted.

The part of a rotation that touches envelopes; `pipeline.py` drives it. `prepare` needs the keys and `write` the
database, so that one batch can be prepared while the one before it is written.
"""

from __future__ import annotations

import hmac
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from typing import Any

from .._domain import rewrap_plan
from .._domain.catalogue import Catalogue, Found, record_id_text
from .._domain.envelope import Envelope, parse
from .._domain.errors import OpsError
from .._domain.rewrap_plan import Moved
from .._domain.wrap_proof import Proof
from .._installation.sealing import Failure, Plain, Sealing
from .._keys.provider import KeyFailure, UnwrapRequest
from .._store import records
from .._store.connection import Store
from .._store.driver import Document
from .._store.records import Change

Asked = tuple[Found, Envelope, UnwrapRequest]
UNPROVEN = KeyFailure("verification", "its payload does not open with the data key in it")


def checked(
    sealing: Sealing,
    to_version: int,
    asked: Sequence[Asked],
    wraps: Sequence[bytes | KeyFailure],
    chosen: Collection[int] | None,
) -> list[bytes | KeyFailure]:
    """Return the wraps, a failure in place of each chosen one that does not open its payload.

    chosen: indexes, None for all. A payload that was damaged before opens with no key; its wrap stands when the old and
    the new one open to the same data key.
    """
    places = [n for n, wrap in enumerate(wraps) if isinstance(wrap, bytes) and (chosen is None or n in chosen)]
    proved = list(wraps)
    fresh = [UnwrapRequest(to_version, bytes(wraps[n]), asked[n][2].aad) for n in places]  # type: ignore[arg-type]
    suspects: list[tuple[int, bytes]] = []
    for place, dek in zip(places, sealing.provider.unwrap(fresh) if fresh else [], strict=True):
        found, envelope, _request = asked[place]
        if isinstance(dek, KeyFailure):
            proved[place] = KeyFailure("verification", f"the fresh wrap did not open again ({dek.reason})")
        elif not sealing.opens_payload(found, envelope, dek):
            suspects.append((place, dek))
    old = [asked[place][2] for place, _dek in suspects]
    for (place, dek), again in zip(suspects, sealing.provider.unwrap(old) if old else [], strict=True):
        found, envelope, _request = asked[place]
        same = isinstance(again, bytes) and hmac.compare_digest(again, dek)
        if not same or sealing.opens_payload(found, envelope, again if isinstance(again, bytes) else dek):
            proved[place] = UNPROVEN
    return proved


@dataclass(slots=True)
class Tally:
    """What one batch did. rewrapped: envelopes. conflicts: documents a writer touched meanwhile."""

    rewrapped: int = 0
    conflicts: int = 0
    failures: list[Failure] = field(default_factory=list)


@dataclass(slots=True)
class _Work:
    """One document on its way. blocked: one of its envelopes cannot move, so none of them does."""

    document: Document
    asked: list[Asked] = field(default_factory=list)
    moved: list[Moved] = field(default_factory=list)
    blocked: bool = False


@dataclass(slots=True)
class Prepared:
    """A batch that is ready to be written: the documents that can move, and what is known of the others."""

    collection: str
    works: list[_Work] = field(repr=False)
    envelopes: int  # that were given to the keys, whether or not they can move
    tally: Tally


def _nothing(_wraps: int) -> None:
    """Count nothing: for callers that keep no budget."""


class Rewrapper:
    """Moves batches of documents to one KEK version."""

    def __init__(
        self, store: Store, sealing: Sealing, catalogue: Catalogue, to_version: int, *, proof: Proof | None = None
    ) -> None:
        self._store = store
        self._sealing = sealing
        self._catalogue = catalogue
        self._to_version = to_version
        self._proof = proof or Proof()

    def move(self, collection: str, documents: Sequence[Document]) -> Tally:
        """Move every envelope of these documents."""
        return self.write(self.prepare(collection, documents))

    def prepare(
        self, collection: str, documents: Sequence[Document], *, spend: Callable[[int], None] = _nothing
    ) -> Prepared:
        """Return the new wraps of these documents, nothing written yet. spend: told how many wraps, before any is made.

        INVARIANT: a document is written only when all its envelopes can move, so its tags always tell the truth.
        """
        tally = Tally()
        works = [self._planned(collection, document, tally) for document in documents]
        self._move_envelopes(works, tally, spend)
        asked = sum(len(work.asked) for work in works)
        return Prepared(collection, [work for work in works if work.moved and not work.blocked], asked, tally)

    def _move_envelopes(self, works: Sequence[_Work], tally: Tally, spend: Callable[[int], None]) -> None:
        """Give every asked-for envelope a new wrap of the same data key, or block its document."""
        asked = [each for work in works for each in work.asked]
        outcomes = iter(self._rewrapped(asked, spend) if asked else [])
        for work in works:
            for found, envelope, _request in work.asked:
                outcome = next(outcomes)
                if isinstance(outcome, KeyFailure):
                    work.blocked = True
                    tally.failures.append(self._sealing.failure(found, envelope, outcome))
                else:
                    work.moved.append(Moved(found, self._sealing.layout.stored_wrap(outcome)))

    def _rewrapped(self, asked: Sequence[Asked], spend: Callable[[int], None]) -> list[bytes | KeyFailure]:
        """Return one new wrap or failure per envelope, as many of them opened again as the proof asks for."""
        chosen = self._proof.choose(len(asked))
        outcomes = self._proven(asked, chosen, spend)
        if chosen is not None and any(isinstance(o, KeyFailure) and o.reason == "verification" for o in outcomes):
            # WHY all of them now: one bad wrap in a sample says that the others are not to be trusted either.
            chosen = None
            outcomes = self._proven(asked, None, spend)
        self._proof.note(len(asked), chosen)
        return outcomes

    def _proven(
        self, asked: Sequence[Asked], chosen: Collection[int] | None, spend: Callable[[int], None]
    ) -> list[bytes | KeyFailure]:
        spend(len(asked))
        provider, requests = self._sealing.provider, [request for _found, _envelope, request in asked]
        if not provider.device:
            return provider.rewrap(self._to_version, requests, prove=chosen)
        # The device opens no more often than it would to prove the wraps itself.
        wraps = provider.rewrap(self._to_version, requests, prove=())
        return checked(self._sealing, self._to_version, asked, wraps, chosen)

    def _planned(self, collection: str, document: Document, tally: Tally) -> _Work:
        work = _Work(document)
        for found in self._catalogue.envelopes(collection, document):
            try:
                envelope = parse(found.value, outer_version=document.get("kek_version"))
            except OpsError as refusal:
                tally.failures.append(Failure(found.place, refusal.code, refusal.message))
                work.blocked = True
                continue
            if envelope.kek_version == self._to_version:
                continue
            request = self._sealing.checked_request(found, envelope)
            if isinstance(request, Failure):
                tally.failures.append(request)
                work.blocked = True
            else:
                work.asked.append((found, envelope, request))
        if work.blocked:
            work.asked.clear()
        return work

    def write(self, prepared: Prepared) -> Tally:
        """Write what still stands as it was read, and return what the whole batch did."""
        tally, works, collection = prepared.tally, prepared.works, prepared.collection
        changes = [
            Change(
                work.document["_id"],
                rewrap_plan.expectation(work.document, work.moved),
                rewrap_plan.assignment(work.document, work.moved, self._to_version),
            )
            for work in works
        ]
        written = records.compare_and_set(self._store, collection, changes)
        if written == len(changes):
            tally.rewrapped += sum(len(work.moved) for work in works)
            return tally
        tally.conflicts += len(changes) - written
        # WHY read again: the server tells how many documents matched, not which, and a count must be exact.
        standing = records.by_ids(self._store, collection, [work.document["_id"] for work in works])
        for work in works:
            now = standing.get(records.id_key(work.document["_id"]), {})
            tally.rewrapped += sum(_stands(now, move) for move in work.moved)
        return tally


class Resealer(Rewrapper):
    """Moves batches to one KEK version under new data keys: for a KEK that somebody else may have (T39)."""

    def _move_envelopes(self, works: Sequence[_Work], tally: Tally, spend: Callable[[int], None]) -> None:
        asked = [(work, found, envelope) for work in works for found, envelope, _request in work.asked]
        payloads = self._sealing.open_all([(found, envelope) for _work, found, envelope in asked])
        opened: list[tuple[_Work, Found, bytes]] = []
        for (work, found, _envelope), payload in zip(asked, payloads, strict=True):
            if isinstance(payload, Failure):
                work.blocked = True
                tally.failures.append(payload)
            else:
                opened.append((work, found, payload))
        spend(len(opened))
        plains = [Plain(record_id_text(found.record_id), found.field, payload) for _work, found, payload in opened]
        for (work, found, _payload), sealed in zip(
            opened, self._sealing.seal_all(self._to_version, plains), strict=True
        ):
            work.moved.append(Moved(found, sealed.wrapped_dek, (sealed.nonce, sealed.ciphertext)))
        self._proof.note(len(opened), None)


def _stands(document: Document, move: Moved) -> bool:
    value: Any = document
    for step in (*move.found.steps, "wrapped_dek"):
        try:
            value = value[step]
        except (KeyError, IndexError, TypeError):
            return False
    return bool(value == move.stored_wrap)
