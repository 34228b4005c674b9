# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A run's right to write into a destination: the lease of imports, and the import's record under its token.

Indexes and validators that could stand in the way of records are taken down with the first write, and made again once
all records are there (`_store/collection_metadata.py`).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from .._domain.collection_metadata import differences
from .._domain.listing import listed
from .._domain.values import JsonObject
from .._store import collection_metadata, imports
from .._store.lease_renewal import Keeper
from .._store.leases import Lease
from .transfer import Destination

LEASE_NAME = "kek-import"  # of whoever writes what a bundle has into a database
LEASE_S = 30


@dataclass(frozen=True, slots=True)
class MadeMetadata:
    """What became of the source's options and indexes, as "collection: index name". reasons: why they are missing."""

    made: list[str] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)
    different: list[str] = field(default_factory=list)
    reasons: dict[str, str] = field(default_factory=dict)

    def as_result(self) -> JsonObject:
        return {"made": self.made, "missing": self.missing, "different": self.different}

    def say(self, warn: Callable[[str], None]) -> None:
        """Warn of what the destination does not have as the source has it."""
        if self.missing:
            told = [f"{one} ({self.reasons[one]})" if one in self.reasons else one for one in self.missing]
            warn(f"the source has what the destination has not: {listed(told)}")
        if self.different:
            warn(f"the destination has its own, other than the source's: {listed(self.different)}")


class Turn:
    """A run's right to write: the lease, and the import's record under its token."""

    def __init__(self, destination: Destination, lease: Lease, keeper: Keeper, *, records: int) -> None:
        """records: how many the destination holds when all of the bundle has arrived."""
        self._destination = destination
        self.records = records
        self._token = lease.token
        self._keeper = keeper
        self._begun = False

    def begin(self) -> None:
        """Mark the import as under way: from now on it is not proven. Raises OpsError import.accepted, .overtaken."""
        self._keeper.require()
        imports.begin(self._destination.store, self._destination.source, self._token, self._facts())
        self._begun = True
        store, wanted = self._destination.store, self._destination.bundle.metadata
        special = [one for one in wanted if one.is_made_specially]
        collection_metadata.create_missing(store, special, guard=self._keeper.require)
        if not self._destination.bundle.is_of_changes:  # few records: to make an index anew costs more than they do
            self.lower()

    def lower(self) -> None:
        """Take down the indexes and validators that may refuse or remove records; `make_metadata` makes them again."""
        metadata = self._destination.bundle.metadata
        collection_metadata.lower(self._destination.store, metadata, guard=self._keeper.require)

    def note_bundle(self) -> bool:
        """Note that a proof stands for this bundle too, which holds what is here already; return whether it is another.

        WHY: what is accepted, and what counts as older, is what was imported last, though nothing had to be written.
        """
        self._keeper.require()
        return imports.note_bundle(self._destination.store, self._destination.source, self._token, self._facts())

    def _facts(self) -> JsonObject:
        manifest = self._destination.bundle.manifest
        return {
            "bundle_id": manifest["bundle_id"],
            "bundle_made_at": manifest["created_at"],
            "records": self.records,
            "layout": manifest["layout"],
            "source_provider": manifest["source"]["provider"],
            "source_digest": manifest["source_digest"],
        }

    def may_write(self) -> bool:
        """Return True; the import begins with the first write. Raises OpsError lease.lost, import.accepted, .overtaken.

        WHY so late where a proof exists: a run that changes nothing must not take it back.
        """
        if not self._begun:
            self.begin()
        self._keeper.require()
        imports.require_mine(
            self._destination.store, self._destination.source, self._destination.bundle_id, self._token
        )
        return True

    def make_metadata(self, before: list[str]) -> MadeMetadata:
        """Make the collections, indexes and validators that are missing. before: what was missing when the run began.

        WHY not only where the import has begun: it takes no proof of records back.
        """
        store, wanted = self._destination.store, self._destination.bundle.metadata
        guard = self.may_write if self._begun else self._may_add
        refused = collection_metadata.create_missing(store, wanted, guard=guard)
        refused |= collection_metadata.make(store, wanted, guard=guard)
        missing, different = differences(wanted, collection_metadata.read_all(store))
        return MadeMetadata([one for one in before if one not in missing], missing, different, refused)

    def _may_add(self) -> None:
        self._keeper.require()
        imports.require_open(self._destination.store, self._destination.source, self._token)

    def proven(self) -> None:
        self.may_write()
        imports.proven(self._destination.store, self._destination.source, self._destination.bundle_id, self._token)
