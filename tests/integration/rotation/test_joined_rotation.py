# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Several processes at one rotation: they share it, and one that was paused or killed harms nothing."""

from __future__ import annotations

import datetime
import signal
import threading
import time

import pytest
from ansible_collections.certautopilot.ops.plugins.module_utils._domain.errors import OpsError
from ansible_collections.certautopilot.ops.plugins.module_utils._domain.secret import Secret
from ansible_collections.certautopilot.ops.plugins.module_utils._rotation import leadership
from ansible_collections.certautopilot.ops.plugins.module_utils._store import leases
from ansible_collections.certautopilot.ops.plugins.module_utils._store.connection import open_store
from ansible_collections.certautopilot.ops.plugins.module_utils._verbs import kek_rotate

from tests.chaos.rotating import Rotating
from tests.support.sealed import credential, plaintext_of

RECORDS, BATCH = 60, 10
BEFORE_THE_GUARD = {"stop_before": "check_lease", "nth": 3}  # of the first range's first write
BEFORE_THE_WRITE = "write_batch"


@pytest.fixture
def rotatable(env_site):
    env_site.add_kek(2)
    env_site.write()
    env_site.db.dns_credentials.delete_many({})
    env_site.db.dns_credentials.insert_many(
        [credential(env_site.keks[1], f"secret {n}".encode()) for n in range(RECORDS)]
    )
    return env_site


@pytest.fixture
def start(rotatable):
    """Start a rotating process, and wait until it stopped where it should; none outlives the test."""
    started = []

    def begin(*, stop_before=None, nth=1, lease_s=30, **options):
        constants = {"RANGE_ENVELOPES": BATCH, "LEASE_S": lease_s}
        options = {"to_version": 2, "batch_size": BATCH, "allow_empty_fleet": True, **options}
        stop = {"fail_point": stop_before, "nth": nth} if stop_before else None
        started.append(Rotating(rotatable, constants=constants, stop=stop, **options))
        if stop_before:
            started[-1].wait_until_stopped()
        return started[-1]

    yield begin
    for process in started:
        process.kill()
        process.outcome()


def wait_until(true, seconds=60):
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.02)


def go_on(process):
    process.signal(signal.SIGCONT)


def moved(site):
    return site.db.dns_credentials.count_documents({"kek_version": 2})


def all_stand(site, version):
    found = {
        plaintext_of(site.keks[version], d["_id"], "encrypted_api_key", d["encrypted_api_key"])
        for d in site.db.dns_credentials.find({"kek_version": version})
    }
    return found == {f"secret {n}".encode() for n in range(RECORDS)}


def test_a_second_process_moves_what_the_leader_has_not_claimed_and_both_say_complete(rotatable, start):
    leader = start(stop_before=BEFORE_THE_WRITE)
    helper = start()
    wait_until(lambda: moved(rotatable) == RECORDS - BATCH)
    go_on(leader)

    outcomes = [process.outcome() for process in (leader, helper)]

    assert [(o.state, o.rewrapped) for o in outcomes] == [("complete", BATCH), ("complete", RECORDS - BATCH)]
    assert all_stand(rotatable, 2)
    assert rotatable.db.kek_rotations.find_one({"_id": "to-2"})["rewrapped_total"] == RECORDS
    assert rotatable.db.kek_ranges.count_documents({}) == 0
    assert not rotatable.call("kek_rotate", to_version=2).changed


def test_t39_a_helper_after_a_compromise_says_how_much_it_sealed_anew_and_what_must_be_reissued(rotatable, start):
    before = {d["_id"]: d["encrypted_api_key"]["ciphertext"] for d in rotatable.db.dns_credentials.find()}
    leader = start(stop_before=BEFORE_THE_WRITE, compromised=True)
    helper = start(compromised=True)
    wait_until(lambda: moved(rotatable) == RECORDS - BATCH)
    go_on(leader)

    outcomes = [process.outcome() for process in (leader, helper)]

    assert [(o.state, o.rewrapped, o.reissue_total) for o in outcomes] == [
        ("complete", BATCH, RECORDS), ("complete", RECORDS - BATCH, RECORDS),
    ]  # fmt: skip
    assert all(d["encrypted_api_key"]["ciphertext"] != before[d["_id"]] for d in rotatable.db.dns_credentials.find())
    assert all_stand(rotatable, 2)


def test_while_it_runs_kek_info_says_how_far_it_is(rotatable, start):
    leader = start(stop_before=BEFORE_THE_WRITE)
    helper = start()
    wait_until(lambda: moved(rotatable) == RECORDS - BATCH)

    def seen():
        return rotatable.call("kek_info").values["rotation"]

    wait_until(lambda: seen()["remaining"] == BATCH)
    shown = seen()
    go_on(leader)
    helper.outcome()
    ended = seen()

    assert (shown["state"], shown["rewrapped"], shown["percent"]) == ("rewrapping", RECORDS - BATCH, 83)
    assert (ended["state"], ended["remaining"], ended["percent"], ended["eta_s"]) == ("complete", 0, 100, 0)
    assert ended["rewrapped"] == RECORDS


def test_a_helper_that_is_killed_leaves_a_range_that_the_leader_moves(rotatable, start):
    leader = start(stop_before=BEFORE_THE_WRITE)
    helper = start(stop_before=BEFORE_THE_WRITE, lease_s=1)
    helper.kill()
    go_on(leader)

    ended = leader.outcome()

    assert (ended.state, ended.rewrapped) == ("complete", RECORDS)
    assert all_stand(rotatable, 2)


def test_t16_a_leader_that_is_killed_is_followed_by_its_helper(rotatable, start):
    leader = start(stop_before=BEFORE_THE_WRITE, lease_s=2)
    helper = start(lease_s=2)
    leader.kill()

    ended = helper.outcome()

    assert (ended.state, ended.rewrapped) == ("complete", RECORDS)
    assert all_stand(rotatable, 2)


def test_a_rotation_that_is_cancelled_while_a_process_of_it_sleeps_stays_cancelled(rotatable, start, monkeypatch):
    zombie = start(**BEFORE_THE_GUARD, lease_s=1)
    monkeypatch.setattr(kek_rotate, "LEASE_S", 1)
    cancelled = rotatable.call("kek_rotate", to_version=2, state="cancelled")
    before = rotatable.documents()

    go_on(zombie)
    woken = zombie.outcome()

    assert cancelled.values["rotation"]["state"] == "cancelled"
    assert woken.code in ("lease.lost", "rotate.fenced")
    assert rotatable.documents() == before
    assert all_stand(rotatable, 1)


def test_a_helper_of_a_rotation_that_is_cancelled_says_so(rotatable, start, monkeypatch):
    leader = start(**BEFORE_THE_GUARD, lease_s=1)
    helper = start(stop_before="join_rotation", lease_s=1)
    monkeypatch.setattr(kek_rotate, "LEASE_S", 1)
    wait_until(lambda: rotatable.db.kek_ranges.count_documents({}) == RECORDS // BATCH)
    rotatable.call("kek_rotate", to_version=2, state="cancelled")
    holder = rotatable.db.locks.find_one_and_update({"_id": "kek-rotate"}, {"$set": {"expires_at": later(rotatable)}})
    go_on(helper)
    time.sleep(2 * leadership.POLL_S)
    rotatable.db.locks.update_one({"_id": "kek-rotate"}, {"$set": {"expires_at": holder["expires_at"]}})

    assert helper.outcome().code == "rotate.cancelled"
    assert all_stand(rotatable, 1)
    leader.kill()


def later(site):
    return site.client.admin.command("hello")["localTime"] + datetime.timedelta(seconds=60)


def test_a_rotation_to_another_version_does_not_join_and_names_the_holder(rotatable, start, monkeypatch):
    rotatable.add_kek(3)
    rotatable.write()
    leader = start(stop_before=BEFORE_THE_WRITE)
    monkeypatch.setattr(kek_rotate, "LEASE_S", 0.1)
    monkeypatch.setattr(leadership, "_PATIENCE_S", 0.5)

    with pytest.raises(OpsError) as refusal:
        rotatable.call("kek_rotate", to_version=3)
    go_on(leader)

    assert refusal.value.code == "lease.held"
    assert str(leader.pid) in refusal.value.message
    assert leader.outcome().state == "complete"


def test_a_run_waits_for_the_plan_of_a_leader_of_its_rotation_for_as_long_as_the_survey_takes(rotatable, monkeypatch):
    monkeypatch.setattr(kek_rotate, "LEASE_S", 1)
    monkeypatch.setattr(leadership, "_PATIENCE_S", 0)
    with open_store(Secret(rotatable.uri), rotatable.name) as store:
        lease = leases.acquire(store, "kek-rotate", purpose="to-2")
        surveyed = threading.Timer(5, leases.release, (store, lease))
        surveyed.start()

        # A run that did not wait is refused here with lease.held; how far a slice comes is the machine's affair.
        rotatable.call("kek_rotate", to_version=2, max_seconds=3)
        surveyed.join()

    assert rotatable.call("kek_rotate", to_version=2).values["rotation"]["state"] == "complete"


def test_a_poisoned_envelope_fails_the_leader_and_the_helper_by_name(rotatable, start):
    victim = rotatable.db.dns_credentials.find_one(sort=[("_id", -1)])
    broken = bytes(60)
    rotatable.db.dns_credentials.update_one({"_id": victim["_id"]}, {"$set": {"encrypted_api_key.wrapped_dek": broken}})
    leader = start(stop_before=BEFORE_THE_WRITE)
    helper = start()
    wait_until(lambda: moved(rotatable) == RECORDS - BATCH - 1)
    go_on(leader)

    outcomes = [process.outcome() for process in (leader, helper)]

    assert [outcome.code for outcome in outcomes] == ["rotate.incomplete"] * 2
    assert all(str(victim["_id"]) in outcome.text for outcome in outcomes)
    assert moved(rotatable) == RECORDS - 1
    assert rotatable.db.kek_versions.find_one({"_id": "active"})["version"] == 1
