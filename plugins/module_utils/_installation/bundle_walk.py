# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A bundle beside a destination: what it holds and what is there, in pairs, be it all or changes.

One that holds everything is walked side by side with the whole destination (`lockstep`); of one that holds changes each
record is looked up, so that the walk costs what changed.
"""

from __future__ import annotations

from .._domain.values import BsonValue
from .._store import record_bytes, records
from .._store.connection import Store
from . import lockstep
from .checked_bundle import Bundle
from .lockstep import OnPairs, Pair
from .opened_records import OpenedRecord


def walk(store: Store, bundle: Bundle, on_pairs: OnPairs) -> dict[str, list[BsonValue]]:
    """Call `on_pairs(collection, pairs)` for every record of the bundle; return the ids that are there and must not be.

    These are, by a bundle that holds everything, whatever it does not hold; by another, what it says is gone.
    """
    return _look_up(store, bundle, on_pairs) if bundle.is_of_changes else lockstep.walk(store, bundle, on_pairs)


def _look_up(store: Store, bundle: Bundle, on_pairs: OnPairs) -> dict[str, list[BsonValue]]:
    left: dict[str, list[BsonValue]] = {}

    def batch(collection: str, expected: list[OpenedRecord]) -> None:
        raws = records.raw_by_ids(store, collection, [one.record_id for one in expected])
        found = {record_bytes.id_key_of(raw): raw for raw in raws}
        left.setdefault(collection, []).extend(one.record_id for one in expected if one.is_gone and one.key in found)
        pairs = [Pair(one, found.get(one.key)) for one in expected if not one.is_gone]
        if pairs:
            on_pairs(collection, pairs)

    bundle.each_batch(batch)
    return {collection: ids for collection, ids in left.items() if ids}
