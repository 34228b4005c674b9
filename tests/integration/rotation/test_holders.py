# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A process that rotates is killed, or stopped and overtaken: the next one ends its work, a sleeper writes nothing."""

from __future__ import annotations

import signal
import time

import pytest

from tests.chaos.rotating import Rotating
from tests.support.sealed import plaintext_of

SHORT = {"LEASE_S": 1}
SECRETS = sorted(f"secret {n}".encode() for n in range(12))


@pytest.fixture
def rotatable(env_site):
    env_site.add_kek(2)
    env_site.write()
    return env_site


@pytest.fixture
def rotating(rotatable):
    """Start kek_rotate in processes of their own; none outlives the test."""
    started = []

    def start(*, stop=None, **options):
        options = {"to_version": 2, "allow_empty_fleet": True, "batch_size": 3, **options}
        started.append(Rotating(rotatable, constants=SHORT, stop=stop, **options))
        return started[-1]

    yield start
    for process in started:
        process.kill()
        process.outcome()


def opened(site, version):
    return sorted(
        plaintext_of(site.keks[version], d["_id"], "encrypted_api_key", d["encrypted_api_key"])
        for d in site.db.dns_credentials.find({"kek_version": version})
    )


def standing(site):
    """Return all documents but two kinds of bookkeeping that a sleeper may still write, and that decide nothing.

    It may wrap, which counts in the budget, and lay ranges under its old token, which nobody claims.
    """
    documents = site.documents()
    documents.pop("kek_ranges", None)
    for row in documents["kek_versions"]:
        row.pop("invocations", None)
    return documents


def test_t16_after_the_holder_was_killed_the_next_run_takes_the_rotation_over_and_ends_it(rotatable, rotating):
    holder = rotating(hsm_share=9)  # one batch a second: it is killed with most of its work left
    while not rotatable.db.dns_credentials.count_documents({"kek_version": 2}):
        time.sleep(0.02)
    holder.kill()
    killed = holder.outcome()
    moved = rotatable.db.dns_credentials.count_documents({"kek_version": 2})
    unfinished = rotatable.db.kek_rotations.find_one({"_id": "to-2"})["state"]

    second = rotating().outcome()

    assert (killed.code, unfinished) == ("killed", "rewrapping")
    assert 0 < moved < 12
    assert (second.code, second.state) == ("", "complete")
    assert opened(rotatable, 2) == SECRETS


@pytest.mark.parametrize(
    ("moment", "nth"),
    [
        ("write_rotation_record", 1),
        ("lay_ranges", 1),
        ("claim_range", 1),
        ("check_lease", 3),
        ("write_batch", 2),
        ("spend_wraps", 2),
        ("advance_rotation", 1),
        ("swap_active", 1),
        ("repair_row_states", 1),
    ],
)
def test_t16_a_holder_that_was_stopped_and_overtaken_writes_nothing_when_it_wakes_up(rotatable, rotating, moment, nth):
    sleeper = rotating(stop={"fail_point": moment, "nth": nth})
    sleeper.wait_until_stopped()
    second = rotating().outcome()
    before = standing(rotatable)

    sleeper.signal(signal.SIGCONT)
    woken = sleeper.outcome()

    assert (second.code, second.state) == ("", "complete")
    assert standing(rotatable) == before
    assert opened(rotatable, 2) == SECRETS
    assert woken.code in ("lease.lost", "rotate.fenced", "rotate.swap_lost")
    assert woken.retryable


def test_t16_a_holder_that_was_stopped_before_its_swap_does_not_swap_after_the_rotation_was_cancelled(
    rotatable, rotating
):
    sleeper = rotating(stop={"fail_point": "swap_active", "nth": 1})
    sleeper.wait_until_stopped()
    cancelled = rotating(state="cancelled").outcome()
    before = standing(rotatable)

    sleeper.signal(signal.SIGCONT)
    woken = sleeper.outcome()

    assert (cancelled.code, cancelled.state) == ("", "cancelled")
    assert rotatable.db.kek_versions.find_one({"_id": "active"})["version"] == 1
    assert standing(rotatable) == before
    assert opened(rotatable, 1) == SECRETS
    assert woken.code == "rotate.swap_lost"


def test_t16_a_holder_that_was_stopped_before_its_swap_does_not_swap_a_rotation_that_was_made_ready_meanwhile(
    rotatable, rotating
):
    sleeper = rotating(stop={"fail_point": "swap_active", "nth": 1})
    sleeper.wait_until_stopped()
    ready = rotating(stop_before="swap").outcome()

    sleeper.signal(signal.SIGCONT)
    woken = sleeper.outcome()

    assert (ready.code, ready.state) == ("", "ready")
    assert rotatable.db.kek_versions.find_one({"_id": "active"})["version"] == 1
    assert rotatable.db.kek_rotations.find_one({"_id": "to-2"})["state"] == "ready"
    assert woken.code == "rotate.swap_lost"
    assert rotating().outcome().state == "complete"


def test_a_rotation_that_another_one_moved_back_in_part_is_planned_anew_and_counts_what_is_left(rotatable, rotating):
    begun = rotating(hsm_share=9)  # one batch a second: it is killed with most of its work left
    wait_for_a_moved_record(rotatable)
    begun.kill()
    begun.outcome()
    back = rotating(to_version=1, allow_downgrade=True).outcome()

    again = rotating(hsm_share=9)
    wait_for_a_moved_record(rotatable)
    again.kill()
    again.outcome()

    record = rotatable.db.kek_rotations.find_one({"_id": "to-2"})
    left = rotatable.db.dns_credentials.count_documents({"kek_version": 1})
    assert (back.code, back.state) == ("", "complete")
    assert record["planned"] - record["moved"] >= left
    assert rotating().outcome().state == "complete"


def wait_for_a_moved_record(site):
    """Return once a first record is under version 2, and the counters that are said once a second tell of it."""
    deadline = time.monotonic() + 60
    while not site.db.dns_credentials.count_documents({"kek_version": 2}):
        assert time.monotonic() < deadline
        time.sleep(0.02)
    time.sleep(1.5)
