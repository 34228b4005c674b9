# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""An index of records says what was written, whatever its size, and an altered or cut one says so."""

from __future__ import annotations

import bson
import pytest
from ansible_collections.certautopilot.ops.plugins.module_utils._domain.errors import OpsError
from ansible_collections.certautopilot.ops.plugins.module_utils._domain.multiset_digest import MultisetDigest
from ansible_collections.certautopilot.ops.plugins.module_utils._store import record_index
from ansible_collections.certautopilot.ops.plugins.module_utils._store.changes import Since
from ansible_collections.certautopilot.ops.plugins.module_utils._store.record_index import About

SINCE = Since({"_data": "8201"}, bson.Timestamp(7, 1))


def written(path, records, since=SINCE):
    with record_index.written(path, About("bundle", since)) as index:
        for collection, document in records:
            index.add(collection, bson.encode(document))
    return path


def read(path):
    with record_index.opened(path) as index:
        return [(collection, bson.decode(key)["_id"], digest) for collection, key, digest in index.entries()]


@pytest.mark.parametrize("count", [0, 1, 20_000], ids=["nothing", "one", "more than is read at one time"])
def test_every_record_is_in_it_in_order_with_a_digest_of_its_own(tmp_path, count):
    records = [("a" if n < count // 2 else "é", {"_id": n, "x": "y"}) for n in range(count)]
    path = written(tmp_path / "index", records)

    found = read(path)

    assert [(collection, record_id) for collection, record_id, _digest in found] == [(c, d["_id"]) for c, d in records]
    assert len({digest for _collection, _id, digest in found}) == count
    with record_index.opened(path) as index:
        assert index.about == About("bundle", SINCE)
        assert [index.digest(c, bson.encode(d)) for c, d in records] == [digest for _c, _i, digest in found]


def test_the_same_record_in_another_collection_or_another_index_has_another_digest(tmp_path):
    one = read(written(tmp_path / "one", [("a", {"_id": 1}), ("b", {"_id": 1})]))
    two = read(written(tmp_path / "two", [("a", {"_id": 1})], since=None))

    assert len({digest for _collection, _id, digest in [*one, *two]}) == 3


def test_an_id_longer_than_what_is_read_at_one_time_is_in_it(tmp_path):
    long = "x" * 1_000_000

    assert [record_id for _c, record_id, _d in read(written(tmp_path / "index", [("a", {"_id": long})]))] == [long]


def test_every_altered_or_missing_byte_is_noticed(tmp_path):
    content = written(tmp_path / "index", [("a", {"_id": 1}), ("b", {"_id": "x"})]).read_bytes()
    path = tmp_path / "altered"
    path.touch(mode=0o600)
    for place in range(len(content)):
        for altered in (
            content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :],
            content[:place] + bytes([content[place] ^ 0x80]) + content[place + 1 :],
            content[:place],
        ):
            path.write_bytes(altered)
            with pytest.raises(OpsError) as failure:
                read(path)
            assert failure.value.code == "index.damaged", place


def test_its_state_is_that_of_all_records_in_whatever_order_and_of_no_others(tmp_path):
    records = [("a", {"_id": 1}), ("a", {"_id": 2}), ("b", {"_id": 1})]

    def state(chosen, name, key=b""):
        with record_index.written(tmp_path / name, About("bundle", None), key=key) as index:
            index.state = MultisetDigest()
            for collection, document in chosen:
                index.add(collection, bson.encode(document))
        with record_index.opened(tmp_path / name) as index:
            return index.state(), index.key()

    first, key = state(records, "first")

    assert state(records[::-1], "backwards", key) == (first, key)
    others = [
        records[:2],
        [*records, ("b", {"_id": 1})],
        [*records[:2], ("b", {"_id": 2})],
        [*records[:2], ("a", {"_id": 1})],
    ]
    assert all(state(chosen, f"other{number}", key)[0] != first for number, chosen in enumerate(others))
    assert state(records, "another key")[0] != first


def test_an_index_of_records_that_were_not_all_read_has_no_state(tmp_path):
    with record_index.opened(written(tmp_path / "index", [("a", {"_id": 1})])) as index:
        assert index.state() is None
        assert len(list(index.entries())) == 1
