# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Re-wrapping one batch of documents: open, wrap, check, compare-and-set; failures named, conflicts counted.

The part of a rotation that touches envelopes; `pipeline.py` drives it. `prepare` needs the keys and `write` the
database, so that one batch can be prepared while the one before it is written. Steps are taken by the whole batch and
what belongs to an envelope is found by its place in lists: an object for each would take as long as the cryptography.
"""

from __future__ import annotations

import hmac
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field

from .._domain import rewrap_plan
from .._domain.catalogue import Catalogue, Found, record_id_text
from .._domain.envelope import Envelope, parse
from .._domain.errors import OpsError
from .._domain.rewrap_plan import GuardedUpdate, Moved
from .._domain.rotation import Plan
from .._domain.values import Document
from .._domain.wrap_proof import Proof
from .._installation.sealing import Failure, Plain, Sealing
from .._keys.provider import KeyFailure, UnwrapRequest
from .._store import record_bytes, records
from .._store.connection import Store
from .plain_documents import plain_reader

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

    chosen: indexes, None for all. A payload that was damaged before opens with no key; its wrap is believed when
    the old and the new one open to the same data key.
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
class Prepared:
    """A batch that is ready to be written. It keeps the updates alone: the documents can be forgotten (X42).

    envelopes: that were given to the keys, whether or not they can move. moving: that the updates move.
    """

    collection: str
    updates: list[GuardedUpdate] = field(repr=False)
    envelopes: int
    moving: int
    tally: Tally


@dataclass(slots=True)
class _Asked:
    """What is asked of the keys, three lists of one length. places: the document that each envelope is of."""

    places: list[int] = field(default_factory=list)
    founds: list[Found] = field(default_factory=list)
    requests: list[UnwrapRequest] = field(default_factory=list)


def _nothing(_wraps: int) -> None:
    """Count nothing: for callers that keep no budget."""


class Rewrapper:
    """Moves batches of documents to the KEK version of a plan."""

    def __init__(
        self, store: Store, sealing: Sealing, catalogue: Catalogue, plan: Plan, *, proof: Proof | None = None
    ) -> None:
        self._store = store
        self._sealing = sealing
        self._catalogue = catalogue
        self._plan = plan
        self._proof = proof or Proof()

    def move(self, collection: str, documents: Sequence[Document]) -> Tally:
        """Move every envelope of these documents."""
        return self.write(self.prepare(collection, documents))

    def prepare(
        self, collection: str, documents: Sequence[Document], *, spend: Callable[[int], None] = _nothing
    ) -> Prepared:
        """Return the updates that move these documents, nothing written yet. spend: told how many wraps, before any
        is made.

        INVARIANT: a document is written only when all its envelopes can move, so its tags always tell the truth.
        """
        tally, blocked = Tally(), set[int]()
        asked = self._asked(collection, documents, tally)
        moves: list[list[Moved]] = [[] for _document in documents]
        for place, outcome in zip(asked.places, self._moved(asked, spend) if asked.founds else (), strict=True):
            if isinstance(outcome, Failure):
                tally.failures.append(outcome)
                blocked.add(place)
            else:
                moves[place].append(outcome)
        for place in blocked:
            moves[place].clear()
        update, to_version = rewrap_plan.guarded_update, self._plan.to_version
        updates = [
            update(document, moved, to_version) for document, moved in zip(documents, moves, strict=True) if moved
        ]
        return Prepared(collection, updates, len(asked.founds), sum(map(len, moves)), tally)

    def _asked(self, collection: str, documents: Sequence[Document], tally: Tally) -> _Asked:
        """Return what must move, without the documents that have an envelope which nobody can ask for."""
        asked, read = _Asked(), plain_reader(self._sealing, self._catalogue, collection, self._plan.to_version)
        places, founds, requests = asked.places, asked.founds, asked.requests
        for place, document in enumerate(documents):
            plain = read(document)
            if plain is not None:
                places.append(place)
                founds.append(plain[0])
                requests.append(plain[1])
                continue
            for found, request in self._asked_any(collection, document, tally):
                places.append(place)
                founds.append(found)
                requests.append(request)
        return asked

    def _asked_any(self, collection: str, document: Document, tally: Tally) -> list[tuple[Found, UnwrapRequest]]:
        """Return what must move of any document; nothing, and the failures, when one of its envelopes cannot."""
        items, failures, outer = [], [], document.get("kek_version")
        for found in self._catalogue.envelopes(collection, document):
            try:
                envelope = parse(found.value, outer)
            except OpsError as refusal:
                failures.append(Failure(found.place, refusal.code, refusal.message))
                continue
            if envelope.kek_version != self._plan.to_version:
                items.append((found, envelope))
        requests, refused = self._sealing.requests(items)
        failures += refused.values()
        tally.failures += failures
        return (
            [] if failures else [(found, request) for (found, _envelope), request in zip(items, requests, strict=True)]
        )

    def _moved(self, asked: _Asked, spend: Callable[[int], None]) -> list[Moved | Failure]:
        """Return every asked-for envelope with a new wrap of the same data key, or why it has none."""
        stored = self._sealing.layout.stored_wrap
        return [
            (found, stored(outcome), None) if isinstance(outcome, bytes) else self._failure(found, outcome)
            for found, outcome in zip(asked.founds, self._rewrapped(asked, spend), strict=True)
        ]

    def _failure(self, found: Found, why: KeyFailure) -> Failure:
        return self._sealing.failure(found, parse(found.value), why)

    def _rewrapped(self, asked: _Asked, spend: Callable[[int], None]) -> list[bytes | KeyFailure]:
        """Return one new wrap or failure per envelope, as many of them opened again as the proof asks for."""
        count = len(asked.founds)
        chosen = self._proof.choose(count)
        outcomes = self._proven(asked, chosen, spend)
        if chosen is not None and any(isinstance(o, KeyFailure) and o.reason == "verification" for o in outcomes):
            # WHY all of them now: one bad wrap in a sample says that the others are not to be trusted either.
            chosen = None
            outcomes = self._proven(asked, None, spend)
        self._proof.note(count, chosen)
        return outcomes

    def _proven(
        self, asked: _Asked, chosen: Collection[int] | None, spend: Callable[[int], None]
    ) -> list[bytes | KeyFailure]:
        spend(len(asked.founds))
        provider, requests = self._sealing.provider, asked.requests
        if not provider.device:
            return provider.rewrap(self._plan.to_version, requests, prove=chosen)
        # The device opens no more often than it would to prove the wraps itself.
        wraps = provider.rewrap(self._plan.to_version, requests, prove=())
        triples = [(found, parse(found.value), request) for found, request in zip(asked.founds, requests, strict=True)]
        return checked(self._sealing, self._plan.to_version, triples, wraps, chosen)

    def write(self, prepared: Prepared) -> Tally:
        """Write what is still as it was read, and return what the whole batch did."""
        tally, updates, collection = prepared.tally, prepared.updates, prepared.collection
        written = records.compare_and_set(self._store, collection, updates)
        if written == len(updates):
            tally.rewrapped += prepared.moving
            return tally
        tally.conflicts += len(updates) - written
        # WHY read again: the server tells how many documents matched, not which, and a count must be exact.
        found = records.by_ids(self._store, collection, [expected["_id"] for expected, _assign in updates])
        for expected, assign in updates:
            now = found.get(record_bytes.id_key(expected["_id"]), {})
            tally.rewrapped += rewrap_plan.wraps_kept(now, assign)
        return tally


class Resealer(Rewrapper):
    """Moves batches to one KEK version under new data keys: for a KEK that somebody else may have (T39)."""

    def _moved(self, asked: _Asked, spend: Callable[[int], None]) -> list[Moved | Failure]:
        payloads = self._sealing.open_all([(found, parse(found.value)) for found in asked.founds])
        plains = [
            Plain(record_id_text(found.record_id), found.field, payload)
            for found, payload in zip(asked.founds, payloads, strict=True)
            if isinstance(payload, bytes)
        ]
        spend(len(plains))
        sealed = iter(self._sealing.seal_all(self._plan.to_version, plains))
        self._proof.note(len(plains), None)
        moved: list[Moved | Failure] = []
        for found, payload in zip(asked.founds, payloads, strict=True):
            if isinstance(payload, Failure):
                moved.append(payload)
            else:
                fresh = next(sealed)
                moved.append((found, fresh.wrapped_dek, (fresh.nonce, fresh.ciphertext)))
        return moved
