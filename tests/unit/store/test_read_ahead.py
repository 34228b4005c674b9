# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is read one batch ahead comes as it was read, its failures too, and nobody reads on when nobody takes it."""

from __future__ import annotations

import threading
import time

import pytest
from ansible_collections.certautopilot.ops.plugins.module_utils._store import read_ahead
from ansible_collections.certautopilot.ops.plugins.module_utils._store.read_ahead import BATCH, BATCH_BYTES


@pytest.fixture(autouse=True)
def no_thread_stays():
    """Other tests in this process may have left threads of their own, of the driver for instance."""
    before = {*threading.enumerate()}
    yield
    assert {*threading.enumerate()} - before == set()


@pytest.mark.parametrize("count", [0, 1, BATCH - 1, BATCH, BATCH + 1, 5 * BATCH])
def test_everything_comes_once_and_in_order(count):
    items = [str(number).encode() for number in range(count)]

    assert list(read_ahead.read_ahead(iter(items))) == items


def test_a_failure_comes_after_what_was_read_before_it():
    def failing():
        yield from (b"a" for _number in range(BATCH))
        raise ValueError("the server is gone")

    taken = []
    with pytest.raises(ValueError, match="the server is gone"):
        taken.extend(read_ahead.read_ahead(failing()))


def test_it_reads_ahead_while_nobody_takes_anything_and_not_further_than_two_batches():
    read = []

    def counted():
        for number in range(20 * BATCH):
            read.append(number)
            yield b"x"

    stream = read_ahead.read_ahead(counted())
    next(stream)
    time.sleep(0.3)
    ahead = len(read)
    stream.close()

    assert BATCH < ahead <= 3 * BATCH + 1


def test_large_items_are_held_a_few_at_a_time():
    read = []

    def counted():
        for number in range(50):
            read.append(number)
            yield bytes(BATCH_BYTES)

    stream = read_ahead.read_ahead(counted())
    next(stream)
    time.sleep(0.3)
    ahead = len(read)
    stream.close()

    assert ahead <= 4


def test_who_stops_half_way_is_not_kept_waiting_by_a_server_that_does_not_answer(monkeypatch):
    monkeypatch.setattr(read_ahead, "_END_S", 0.2)
    answered = threading.Event()

    def hanging():
        yield from (b"x" for _number in range(BATCH))
        answered.wait(20)

    stream = read_ahead.read_ahead(hanging())
    next(stream)
    began = time.monotonic()
    stream.close()
    took = time.monotonic() - began
    answered.set()
    time.sleep(0.5)  # the thread sees that nobody wants more

    assert took < 5
