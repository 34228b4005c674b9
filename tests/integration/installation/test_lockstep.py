# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A bundle and a destination walked side by side: the same answer as comparing sets, whatever the ids and the order.

The oracle is a plain comparison of two dictionaries; the server is real, the bundle is a list.
"""

from __future__ import annotations

import datetime
import random
from decimal import Decimal

import bson
import pytest
from ansible_collections.certautopilot.ops.plugins.module_utils._domain.secret import Secret
from ansible_collections.certautopilot.ops.plugins.module_utils._installation import lockstep
from ansible_collections.certautopilot.ops.plugins.module_utils._installation.opened_records import plain
from ansible_collections.certautopilot.ops.plugins.module_utils._store import records
from ansible_collections.certautopilot.ops.plugins.module_utils._store.connection import open_store
from ansible_collections.certautopilot.ops.plugins.module_utils._store.id_order import place

from tests.integration.reading import watched

BATCH = 7  # records: small, so that a test meets the seams
COLLECTION = "things"
MIXED = [
    *range(-20, 20),
    *(n + 0.5 for n in range(5)),
    bson.Int64(2**40),
    bson.Decimal128(Decimal("3.25")),
    float("inf"),
    *(f"text {n}" for n in range(20)),
    "é",
    "Z",
    "z",
    "",
    *(bson.ObjectId() for _number in range(20)),
    *(bytes([n]) for n in range(5)),
    b"longer",
    bson.Binary(b"u" * 16, 4),
    True,
    False,
    *(datetime.datetime(2026, 1, day + 1) for day in range(5)),
    {"a": 1},
    {"a": 2},
    bson.Timestamp(1, 1),
    bson.MinKey(),
    bson.MaxKey(),
]


class ListedBundle:
    """What a bundle is to a walk: batches of records in the order they were exported in."""

    def __init__(self, documents, collection=COLLECTION):
        self.readings = 0
        self._documents, self._collection = documents, collection

    def each_batch(self, on_batch):
        self.readings += 1
        for start in range(0, len(self._documents), BATCH):
            on_batch(self._collection, [plain(bson.encode(one)) for one in self._documents[start : start + BATCH]])


@pytest.fixture
def site(new_site):
    return new_site()


def key(record_id):
    return bson.encode({"_id": record_id})


def walked(site, bundle):
    """Return (ids that met, ids that the destination lacks, ids that only it has), each as a set of BSON."""
    met, lacking = set(), set()

    def on_pairs(collection, pairs):
        assert collection == COLLECTION
        for pair in pairs:
            (lacking if pair.found is None else met).add(key(pair.expected.record_id))
            assert pair.found is None or bson.decode(pair.found)["_id"] == pair.expected.record_id

    with open_store(Secret(site.uri), site.name) as store:
        extra = lockstep.walk(store, bundle, on_pairs)
    return met, lacking, {key(i) for ids in extra.values() for i in ids}


def sorted_by_server(site, ids):
    site.db.sorting.drop()
    if ids:
        site.db.sorting.insert_many([{"_id": i} for i in ids])
    found = [d["_id"] for d in site.db.sorting.find().sort("_id", 1)]
    site.db.sorting.drop()
    return found


@pytest.mark.parametrize("shuffled", [False, True], ids=["in the server's order", "in no order"])
@pytest.mark.parametrize("seed", range(6))
def test_any_two_sets_of_mixed_ids_are_told_apart_as_sets_are(site, seed, shuffled):
    dice = random.Random(seed)
    there = [i for i in MIXED if dice.random() < 0.7]
    wanted = [i for i in MIXED if dice.random() < 0.7]
    expected = sorted_by_server(site, wanted)
    if shuffled:
        dice.shuffle(expected)
    if there:
        site.db[COLLECTION].insert_many([{"_id": i, "sealed": True} for i in there])

    met, lacking, extra = walked(site, ListedBundle([{"_id": i} for i in expected]))

    ours, theirs = {key(i) for i in wanted}, {key(i) for i in there}
    assert met == ours & theirs
    assert lacking == ours - theirs
    assert extra == theirs - ours


def test_the_servers_order_is_ours_for_the_types_that_ids_have(site):
    usual = [i for i in MIXED if isinstance(i, int | float | str | bytes | bson.ObjectId | bson.Decimal128 | bool)]
    usual += [i for i in MIXED if isinstance(i, datetime.datetime)]

    assert [key(i) for i in sorted(usual, key=place)] == [key(i) for i in sorted_by_server(site, usual)]


def test_equal_sides_are_walked_without_one_look_up_and_the_bundle_is_read_once(site, monkeypatch):
    documents = [{"_id": bson.ObjectId()} for _number in range(60)]
    site.db[COLLECTION].insert_many(documents)
    bundle, reads = ListedBundle(sorted(documents, key=lambda d: d["_id"])), watched(monkeypatch)

    _met, lacking, extra = walked(site, bundle)

    assert (lacking, extra, bundle.readings) == (set(), set(), 1)
    assert (reads.looked_up[COLLECTION], reads.whole[COLLECTION]) == (0, 1)


@pytest.mark.parametrize("there", [0, 30], ids=["empty", "half of it, as an import that was killed leaves it"])
def test_what_is_missing_at_the_end_is_known_without_look_ups(site, monkeypatch, there):
    documents = [{"_id": n} for n in range(60)]
    if there:
        site.db[COLLECTION].insert_many(documents[:there])
    reads = watched(monkeypatch)

    met, lacking, _extra = walked(site, ListedBundle(documents))

    assert (len(met), len(lacking)) == (there, 60 - there)
    assert reads.looked_up[COLLECTION] <= BATCH


def test_records_written_during_the_walk_are_never_taken_for_extra_ones(site):
    site.db[COLLECTION].insert_many([{"_id": n} for n in range(0, 200, 2)])

    def on_pairs(_collection, pairs):
        new = [pair.expected.document for pair in pairs if pair.found is None]
        if new:
            site.db[COLLECTION].insert_many(new)

    bundle = ListedBundle([{"_id": n} for n in range(200)])
    with open_store(Secret(site.uri), site.name) as store:
        extra = lockstep.walk(store, bundle, on_pairs)

    assert extra == {}
    assert site.db[COLLECTION].count_documents({}) == 200


def test_a_collection_that_the_bundle_does_not_know_is_extra_and_bookkeeping_is_not(site):
    site.db.elsewhere.insert_many([{"_id": n} for n in range(3)])
    site.db.kek_journal.insert_one({"_id": 1})

    with open_store(Secret(site.uri), site.name) as store:
        assert lockstep.walk(store, ListedBundle([]), pytest.fail) == {"elsewhere": [0, 1, 2]}
        assert records.collections_with_records(store) == ["elsewhere"]
