# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One field of a record's first level: as decoding would find it, and nothing where bytes are no document."""

from __future__ import annotations

import datetime

import bson
import pytest
from ansible_collections.certautopilot.ops.plugins.module_utils._store.first_level import id_text
from bson import Binary, Code, Decimal128, Int64, MaxKey, MinKey, ObjectId, Regex

ID = ObjectId("0123456789abcdef01234567")


@pytest.mark.parametrize(
    ("value", "text"), [(ID, str(ID)), ("é", "é"), (7, "7"), (Int64(-1), "-1"), (1.5, ""), (None, ""), ({"a": 1}, "")]
)
def test_an_id_of_any_type_has_its_canonical_text(value, text):
    assert id_text(bson.encode({"_id": 1, "project_id": value, "after": 1}), "project_id") == text


@pytest.mark.parametrize(
    "before",
    [1.5, "text", {"project_id": 1}, [1, {"project_id": 2}], Binary(b"xy", 5), ID, True, datetime.datetime(2026, 1, 1),
     None, 1, Int64(1), Decimal128("1.1"), MinKey(), MaxKey(), Code("f()"), Code("f()", {"a": 1})],
)  # fmt: skip
def test_whatever_stands_before_it_is_passed_by(before):
    assert id_text(bson.encode({"before": before, "project_id": ID}), "project_id") == str(ID)


@pytest.mark.parametrize(
    "document", [{"_id": 1}, {"nested": {"project_id": ID}}, {"text": "project_id"}, {"project_ids": ID}]
)
def test_what_is_elsewhere_is_not_it(document):
    assert id_text(bson.encode(document), "project_id") == ""


def test_after_a_regular_expression_it_is_not_looked_for():
    assert id_text(bson.encode({"r": Regex("a"), "project_id": ID}), "project_id") == ""


def test_damaged_bytes_have_none():
    raw = bson.encode({"a": "text", "project_id": ID})

    told = {id_text(raw[:end], "project_id") for end in range(len(raw))}

    assert told <= {"", str(ID)} | {str(ID)[:length] for length in range(24)}
