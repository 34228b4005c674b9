# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What an import writes: a bundle's records sealed into a destination, compare-and-set, while the import is its own.

Bundle and destination are walked side by side, and what differs is written. INVARIANT: before each batch of writes the
lease is held and the import is still under way for this bundle and this lease, and a record is replaced only where it
is what was read: what an accepted destination writes is never overwritten (X4, X5).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from .._domain.values import JsonObject
from .._store import keystore, records
from .._store.connection import Store
from .._store.imports import ImportRecord
from .._store.records import Stored
from . import bundle_walk, equality, opened_records
from .checked_bundle import Bundle
from .equality import Note, Proof
from .installation import Installation
from .lockstep import Pair
from .opened_records import OpenedRecord
from .sealing import Sealing

DELETE_BATCH = 500  # ids


@dataclass(frozen=True, slots=True)
class Destination:
    """Where a bundle goes: the installation, how it seals, the bundle itself, and how far its import has come.

    held: the record of this source's import, None where it never began. version: KEK version that is sealed under.
    """

    installation: Installation
    sealing: Sealing
    bundle: Bundle
    held: ImportRecord | None
    version: int

    @property
    def state(self) -> str:
        """Of ImportState, "" where this source's import never began."""
        return "" if self.held is None else str(self.held.state)

    @property
    def store(self) -> Store:
        return self.installation.store

    @property
    def source(self) -> str:
        return self.bundle.manifest["source"]["install_id"]

    @property
    def bundle_id(self) -> str:
        return self.bundle.manifest["bundle_id"]


@dataclass(slots=True)
class Written:
    """What a walk wrote or, in check mode, would write. found: how the destination was before.

    contended: records that were not what had been read any more, and were left alone.
    """

    imported: int = 0
    updated: int = 0
    deleted: int = 0
    contended: int = 0
    found: Proof = field(default_factory=Proof)

    @property
    def any(self) -> bool:
        return bool(self.imported or self.updated or self.deleted)

    def as_result(self) -> JsonObject:
        return {
            "imported": self.imported,
            "updated": self.updated,
            "unchanged": self.found.equal,
            "deleted": self.deleted,
        }


def transfer(destination: Destination, may_write: Callable[[], bool], note: Note = lambda *_seen: None) -> Written:
    """Walk both sides once and write what differs.

    may_write: asked right before each batch of writes; False only counts (check mode), and it raises when the import
    is not this run's any more. note: gets each collection's pairs, and for each pair whether it was equal.
    """
    written = Written()

    def on_pairs(collection: str, pairs: list[Pair]) -> None:
        equal, _failures = equality.compared(
            destination.installation, destination.sealing, destination.bundle, collection, pairs
        )
        written.found.note(collection, pairs, equal)
        note(collection, pairs, equal)
        new = [pair.expected for pair in pairs if pair.found is None]
        changed = [pair for pair, same in zip(pairs, equal, strict=True) if pair.found is not None and not same]
        if (new or changed) and may_write():
            _insert(destination, collection, new, may_write)
            written.updated += _replace(destination, collection, changed, may_write, written)
        else:
            written.updated += len(changed)
        written.imported += len(new)

    extra = bundle_walk.walk(destination.store, destination.bundle, on_pairs)
    written.found.note_extra(extra)
    for collection, ids in extra.items():
        for start in range(0, len(ids), DELETE_BATCH):
            part = ids[start : start + DELETE_BATCH]
            written.deleted += records.delete_ids(destination.store, collection, part) if may_write() else len(part)
    return written


def _insert(
    destination: Destination, collection: str, new: Sequence[OpenedRecord], may_write: Callable[[], bool]
) -> None:
    sealed = _sealed(destination, new)
    if sealed:
        may_write()  # WHY again: sealing may have taken longer than the lease, with a slow HSM (X5)
        records.insert_many(destination.store, collection, sealed)


def _replace(
    destination: Destination, collection: str, changed: Sequence[Pair], may_write: Callable[[], bool], written: Written
) -> int:
    sealed = _sealed(destination, [pair.expected for pair in changed])
    if not sealed:
        return 0
    may_write()
    replacements = [
        (pair.found, document) for pair, document in zip(changed, sealed, strict=True) if pair.found is not None
    ]
    replaced = records.replace_as_read(destination.store, collection, replacements)
    written.contended += len(replacements) - replaced
    return replaced


def _sealed(destination: Destination, opened: Sequence[OpenedRecord]) -> list[Stored]:
    wraps = sum(len(record.fields) for record in opened)
    if wraps:
        keystore.spend(destination.store, destination.version, wraps)
    return opened_records.seal_records(destination.sealing, destination.version, opened)
