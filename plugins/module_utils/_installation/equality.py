# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The proof that a destination holds what the bundle says: every record opened again and its digest compared.

Read only. Exit status of a migration follows this proof and nothing else.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

from .._domain.catalogue import record_id_text
from .._domain.errors import OpsError
from .._domain.listing import LISTED_AT_MOST
from .._domain.values import BsonValue, Document, JsonObject
from .._store import record_bytes
from . import bundle_walk, opened_records
from .checked_bundle import Bundle
from .installation import Installation
from .lockstep import Pair
from .sealing import Failure, Sealing

Note: TypeAlias = Callable[[str, Sequence[Pair], Sequence[bool]], None]


@dataclass(slots=True)
class Places:
    """How many, and the first LISTED_AT_MOST of them by name."""

    count: int = 0
    named: list[str] = field(default_factory=list)

    def add(self, collection: str, record_id: BsonValue) -> None:
        self.count += 1
        if len(self.named) < LISTED_AT_MOST:
            self.named.append(f"{collection}/{record_id_text(record_id)}")


@dataclass(slots=True)
class Proof:
    """What was compared. records: how many the bundle holds. reasons: why records at the destination do not open.

    by_collection, by_project: of how many records the destination's were equal, as they were read there.
    """

    records: int = 0
    equal: int = 0
    different: Places = field(default_factory=Places)
    missing: Places = field(default_factory=Places)
    extra: Places = field(default_factory=Places)
    reasons: list[Failure] = field(default_factory=list)
    by_collection: Counter[str] = field(default_factory=Counter)
    by_project: Counter[str] = field(default_factory=Counter)

    @property
    def holds(self) -> bool:
        return self.equal == self.records and not self.extra.count

    def note(self, collection: str, pairs: Sequence[Pair], equal: Sequence[bool]) -> None:
        """Count compared pairs. equal: for each whether it is, see `compared`."""
        for pair, same in zip(pairs, equal, strict=True):
            self.records += 1
            if same and pair.found is not None:
                self.equal += 1
                self.by_collection[collection] += 1
                self.by_project[opened_records.project_of(collection, pair.found)] += 1
            else:
                where = self.missing if pair.found is None else self.different
                where.add(collection, pair.expected.record_id)

    def note_extra(self, extra: dict[str, list[BsonValue]]) -> None:
        for collection, ids in extra.items():
            for record_id in ids:
                self.extra.add(collection, record_id)

    def as_result(self) -> JsonObject:
        return {
            "records": self.records,
            "equal": self.equal,
            "different": self.different.named,
            "missing": self.missing.named,
            "extra": self.extra.named,
            "equal_by": {"collection": dict(self.by_collection), "project": dict(self.by_project)},
        }

    def refusal(self) -> OpsError:
        """Return the failure that names what differs."""
        first = (self.different.named or self.missing.named or self.extra.named)[0]
        return OpsError(
            f"destination is not equal: {self.equal} of {self.records} records equal, {self.different.count} "
            f"different, {self.missing.count} missing, {self.extra.count} extra; the first: {first}",
            code="import.not_equal",
            hint="run data_import again: it moves only what differs; do not start the destination before it is equal",
            manifest=self.as_result(),
            failures=[failure.as_result() for failure in self.reasons[:LISTED_AT_MOST]],
        )


def prove(installation: Installation, sealing: Sealing, bundle: Bundle, note: Note = lambda *_seen: None) -> Proof:
    """Return the proof that all of the bundle is there and equal, and nothing is that must not be.

    Of a bundle that holds everything it is the proof for the whole destination: one read, every record opened. note:
    gets each collection's pairs, and for each pair whether it is equal.
    """
    proof = Proof()

    def on_pairs(collection: str, pairs: list[Pair]) -> None:
        equal, reasons = compared(installation, sealing, bundle, collection, pairs)
        proof.note(collection, pairs, equal)
        note(collection, pairs, equal)
        proof.reasons.extend(reasons[: LISTED_AT_MOST - len(proof.reasons)])

    proof.note_extra(bundle_walk.walk(installation.store, bundle, on_pairs))
    return proof


def compared(
    installation: Installation, sealing: Sealing, bundle: Bundle, collection: str, pairs: Sequence[Pair]
) -> tuple[list[bool], list[Failure]]:
    """Return for each pair whether the destination's record opens and is the bundle's, and what does not open.

    A record without sealed fields is compared byte for byte.
    """
    sealed = [pair.found for pair in pairs if pair.found is not None and pair.expected.fields]
    documents, failures = _decoded(collection, sealed)
    opened, unopened = opened_records.try_open(sealing, installation.catalogue, collection, documents)
    digests = {record.key: opened_records.digest(bundle.digest_key, collection, record) for record in opened}
    equal = [
        digests.get(pair.expected.key) == opened_records.digest(bundle.digest_key, collection, pair.expected)
        if pair.expected.fields
        else pair.found == pair.expected.raw
        for pair in pairs
    ]
    return equal, [*failures, *unopened]


def _decoded(collection: str, raws: Sequence[bytes]) -> tuple[list[Document], list[Failure]]:
    """Return the records that are what their bytes decode to, and why others are not."""
    documents, failures = list[Document](), list[Failure]()
    for raw in raws:
        try:
            documents.append(record_bytes.exact_record(collection, raw))
        except OpsError as refusal:
            failures.append(Failure(collection, refusal.code, refusal.message))
    return documents, failures
