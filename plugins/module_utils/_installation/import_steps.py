# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The steps of an import, of a bundle that holds everything and of one that holds what changed since another."""

from __future__ import annotations

from dataclasses import dataclass, replace

from .._domain.errors import DatabaseRefused
from .._domain.values import JsonObject
from .._store.record_index import Index
from . import import_base
from .equality import Note, Proof
from .import_turn import Turn
from .proven_index import ProvenIndex
from .transfer import Destination, Written, transfer


def records_after(destination: Destination, planned: Written) -> int:
    """Return how many records the destination holds when all of the bundle has arrived.

    planned: of a bundle of changes, before anything of it was written. What a run that was killed wrote is in what it
    noted.
    """
    held, manifest = destination.held, destination.bundle.manifest
    if not destination.bundle.is_of_changes or held is None or held.records is None:
        return manifest["records"]
    if held.bundle == manifest["bundle_id"]:
        return held.records
    return held.records + planned.imported - planned.deleted


@dataclass(frozen=True, slots=True)
class Work:
    """What one import works with. index: of the base, for a bundle of changes. proven: of this bundle, for another.

    planned: what a walk without writing found, of a bundle of changes.
    """

    destination: Destination
    turn: Turn
    index: Index | None
    proven: ProvenIndex | None
    planned: Written

    def begin_index(self) -> Note:
        """Return what takes a walk for the index that is written."""
        if self.proven is None:
            return lambda *_seen: None
        self.proven.begin()
        return self.proven.note


def whole_proof(
    destination: Destination, index: Index | None, proof: Proof, records_there: int, *, check: bool
) -> JsonObject:
    """Return what a proof that holds says of the whole destination. Raises OpsError import.destination_moved.

    Of a bundle of changes it says that what was proven before has not moved, and that what changed is equal.
    """
    told = {**proof.as_result(), "opened": proof.records, "unmoved_by": ""}
    if index is None:
        return told
    unmoved_by = import_base.require_unmoved(destination.store, index, destination.bundle, check=check)
    return {**told, "records": records_there, "equal": records_there, "unmoved_by": unmoved_by.value}


def transferred(work: Work) -> Written:
    """Write what differs. A unique index in the way of records that exchanged values is lowered."""
    try:
        return transfer(work.destination, work.turn.may_write, work.begin_index())
    except DatabaseRefused:
        if not work.destination.bundle.is_of_changes:
            raise
        work.turn.lower()
        again = transfer(work.destination, work.turn.may_write)
        planned = work.planned  # what both walks wrote
        return replace(again, imported=planned.imported, updated=planned.updated, deleted=planned.deleted)
