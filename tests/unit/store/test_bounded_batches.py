# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Batches are bounded by documents and by bytes, and nothing is lost between them."""

from __future__ import annotations

import random
import weakref
from itertools import pairwise

import bson
import pytest
from ansible_collections.certautopilot.ops.plugins.module_utils._store.records import BATCH_BYTES, bounded_batches


def document(number, size):
    """Return a document of exactly so many bytes of BSON."""
    empty = {"_id": number, "b": b""}
    return {**empty, "b": bytes(size - len(bson.encode(empty)))}


@pytest.mark.parametrize("seed", range(20))
def test_every_document_comes_once_in_order_and_no_batch_is_larger_than_both_bounds(seed):
    chance = random.Random(seed)
    documents = [document(number, chance.randint(40, 400)) for number in range(200)]

    made = list(bounded_batches(iter(documents), 7, max_bytes=1000))

    assert [one for batch in made for one in batch] == documents
    assert all(1 <= len(batch) <= 7 for batch in made)
    assert all(sum(len(bson.encode(one)) for one in batch) <= 1000 for batch in made)
    following = pairwise(made)
    assert all(
        len(batch) == 7 or sum(len(bson.encode(one)) for one in (*batch, after[0])) > 1000 for batch, after in following
    )


@pytest.mark.parametrize(("size", "batches"), [(500, 2), (501, 3)])
def test_the_bound_is_reached_and_not_passed_by_a_byte(size, batches):
    documents = [document(0, 500), document(1, size), document(2, 500), document(3, 500)]

    assert len(list(bounded_batches(documents, 100, max_bytes=1000))) == batches


def test_a_document_larger_than_the_bound_is_a_batch_on_its_own():
    documents = [document(0, 50), document(1, 5000), document(2, 50)]

    assert [[one["_id"] for one in batch] for batch in bounded_batches(documents, 100, max_bytes=1000)] == [
        [0],
        [1],
        [2],
    ]


def test_a_full_batch_is_given_before_the_next_document_is_read():
    read = []

    def reading():
        for number in range(4):
            read.append(number)
            yield document(number, 50)

    next(bounded_batches(reading(), 2))

    assert read == [0, 1]


def test_a_batch_that_was_given_is_not_kept():
    class Watched(dict):
        """A document that can be watched."""

    made = bounded_batches((Watched(_id=number) for number in range(4)), 2)
    first = weakref.ref(next(made)[0])
    next(made)

    assert first() is None


def test_nothing_is_no_batch():
    assert list(bounded_batches([], 5)) == []


def test_the_bound_is_what_a_server_sends_at_one_time():
    assert BATCH_BYTES == 16 * 1024 * 1024
