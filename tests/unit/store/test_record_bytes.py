# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The key of a record, cut out of its bytes, is the one that decoding gives. The oracle is the driver's own encoder."""

from __future__ import annotations

import datetime
from decimal import Decimal

import bson
import pytest
from ansible_collections.certautopilot.ops.plugins.module_utils._store.record_bytes import (
    id_key_of,
    id_of,
    is_document,
)

IDS = [
    bson.ObjectId(), "", "text", "é" * 200, 0, -1, 2**40, bson.Int64(7), 1.5, float("inf"), True, None, b"", b"bytes",
    bson.Binary(b"u" * 16, 4), datetime.datetime(2026, 1, 1), bson.Decimal128(Decimal("3.25")), {"a": 1, "b": {}}, {},
    bson.Timestamp(1, 2), bson.MinKey(), bson.MaxKey(), bson.Code("f()"), bson.DBRef("other", 1),
]  # fmt: skip


@pytest.mark.parametrize("record_id", IDS, ids=lambda one: f"{type(one).__name__} {str(one)[:20]}")
@pytest.mark.parametrize("rest", [{}, {"a": 1, "_id2": "x"}], ids=["alone", "before others"])
def test_the_key_cut_out_of_a_records_bytes_is_the_one_of_its_id(record_id, rest):
    key = id_key_of(bson.encode({"_id": record_id, **rest}))

    assert key == bson.encode({"_id": record_id})
    assert id_of(key) == bson.decode(key)["_id"]


def test_an_id_that_does_not_come_first_is_found():
    first = bson.encode({"a": 1})
    raw = (len(first) + 9).to_bytes(4, "little") + first[4:-1] + b"\x10_id\0\x07\0\0\0\0"

    assert id_key_of(raw) == bson.encode({"_id": 7})


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"x" * 20,
        bson.encode({"a": 1}),
        bson.encode({"_id": [1]}),
        bson.encode({"_id": {"$gt": 1}}),
        bson.encode({"_id": bson.Regex("a")}),
        bson.encode({"_id": "text"})[:-1],
        bson.encode({"_id": "text"}) + b"\0",
        bson.encode({"_id": "text"}).replace(b"\x05\0\0\0text", b"\xff\xff\xff\x7ftext"),
        bson.encode({"_id": b"four"}).replace(b"\x04\0\0\0\0four", b"\xfc\xff\xff\xff\0four"),
    ],
)
def test_bytes_that_no_server_stores_are_no_document(raw):
    assert not is_document(raw)


def test_a_text_that_is_not_utf8_is_a_document_all_the_same():
    assert is_document(bson.encode({"_id": 1, "a": "name"}).replace(b"name", b"na\xefe"))
