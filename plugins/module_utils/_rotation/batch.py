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
from .._domain.values import Document
from .._domain.wrap_proof import Proof
from .._installation.sealing import Failure, Plain, Sealing
from .._keys.provider import KeyFailure, UnwrapRequest
from .._store import records
from .._store.connection import Store

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

    chosen: indexes, None for all. A payload that was damaged before opens with no key; its wrap is believed when the old and
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
    """What is asked of the keys, three lists of one length. places: the document that each envelope is of.

    blocked: documents that stay as they are, for one of their envelopes cannot move.
    """

    places: list[int] = field(default_factory=list)
    items: list[tuple[Found, Envelope]] = field(default_factory=list)
    requests: list[UnwrapRequest] = field(default_factory=list)
    blocked: set[int] = field(default_factory=set)


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
        """Return the updates that move these documents, nothing written yet. spend: told how many wraps, before any
        is made.

        INVARIANT: a document is written only when all its envelopes can move, so its tags always tell the truth.
        """
        tally = Tally()
        asked = self._asked(collection, documents, tally)
        moves: dict[int, list[Moved]] = {}
        for place, outcome in zip(asked.places, self._moved(asked, spend) if asked.items else [], strict=True):
            if isinstance(outcome, Failure):
                tally.failures.append(outcome)
                asked.blocked.add(place)
            elif place in moves:
                moves[place].append(outcome)
            else:
                moves[place] = [outcome]
        for place in asked.blocked:
            moves.pop(place, None)
        update, to_version = rewrap_plan.guarded_update, self._to_version
        updates = [update(documents[place], moved, to_version) for place, moved in moves.items()]
        return Prepared(collection, updates, len(asked.items), sum(map(len, moves.values())), tally)

    def _asked(self, collection: str, documents: Sequence[Document], tally: Tally) -> _Asked:
        """Return what must move, without the documents that have an envelope which nobody can ask for."""
        asked, envelopes, to_version = _Asked(), self._catalogue.envelopes, self._to_version
        for place, document in enumerate(documents):
            outer = document.get("kek_version")
            for found in envelopes(collection, document):
                try:
                    envelope = parse(found.value, outer_version=outer)
                except OpsError as refusal:
                    tally.failures.append(Failure(found.place, refusal.code, refusal.message))
                    asked.blocked.add(place)
                    continue
                if envelope.kek_version != to_version:
                    asked.places.append(place)
                    asked.items.append((found, envelope))
        requests = self._sealing.requests(asked.items)
        for place, request in zip(asked.places, requests, strict=True):
            if isinstance(request, Failure):
                tally.failures.append(request)
                asked.blocked.add(place)
        asked.requests = [request for request in requests if not isinstance(request, Failure)]
        return _without_blocked(asked, requests) if asked.blocked else asked

    def _moved(self, asked: _Asked, spend: Callable[[int], None]) -> list[Moved | Failure]:
        """Return every asked-for envelope with a new wrap of the same data key, or why it has none."""
        stored, failure = self._sealing.layout.stored_wrap, self._sealing.failure
        return [
            (found, stored(outcome), None) if isinstance(outcome, bytes) else failure(found, envelope, outcome)
            for (found, envelope), outcome in zip(asked.items, self._rewrapped(asked, spend), strict=True)
        ]

    def _rewrapped(self, asked: _Asked, spend: Callable[[int], None]) -> list[bytes | KeyFailure]:
        """Return one new wrap or failure per envelope, as many of them opened again as the proof asks for."""
        count = len(asked.items)
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
        spend(len(asked.items))
        provider, requests = self._sealing.provider, asked.requests
        if not provider.device:
            return provider.rewrap(self._to_version, requests, prove=chosen)
        # The device opens no more often than it would to prove the wraps itself.
        wraps = provider.rewrap(self._to_version, requests, prove=())
        triples = [(found, envelope, request) for (found, envelope), request in zip(asked.items, requests, strict=True)]
        return checked(self._sealing, self._to_version, triples, wraps, chosen)

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
            now = found.get(records.id_key(expected["_id"]), {})
            tally.rewrapped += rewrap_plan.wraps_kept(now, assign)
        return tally


class Resealer(Rewrapper):
    """Moves batches to one KEK version under new data keys: for a KEK that somebody else may have (T39)."""

    def _moved(self, asked: _Asked, spend: Callable[[int], None]) -> list[Moved | Failure]:
        payloads = self._sealing.open_all(asked.items)
        plains = [
            Plain(record_id_text(found.record_id), found.field, payload)
            for (found, _envelope), payload in zip(asked.items, payloads, strict=True)
            if isinstance(payload, bytes)
        ]
        spend(len(plains))
        sealed = iter(self._sealing.seal_all(self._to_version, plains))
        self._proof.note(len(plains), None)
        moved: list[Moved | Failure] = []
        for (found, _envelope), payload in zip(asked.items, payloads, strict=True):
            if isinstance(payload, Failure):
                moved.append(payload)
            else:
                fresh = next(sealed)
                moved.append((found, fresh.wrapped_dek, (fresh.nonce, fresh.ciphertext)))
        return moved


def _without_blocked(asked: _Asked, requests: Sequence[UnwrapRequest | Failure]) -> _Asked:
    """Return what is asked of documents that are not blocked. requests: one for each item, failures in their places."""
    left = _Asked(blocked=asked.blocked)
    for place, item, request in zip(asked.places, asked.items, requests, strict=True):
        if place not in asked.blocked and not isinstance(request, Failure):
            left.places.append(place)
            left.items.append(item)
            left.requests.append(request)
    return left
