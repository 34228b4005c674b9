# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One survey a rotation: in slices, by helpers, after a kill. Who reads everything is counted, not timed."""

from __future__ import annotations

import itertools
import types

import pytest
from ansible_collections.certautopilot.ops.plugins.module_utils._domain.catalogue import Catalogue
from ansible_collections.certautopilot.ops.plugins.module_utils._domain.errors import OpsError
from ansible_collections.certautopilot.ops.plugins.module_utils._domain.secret import Secret
from ansible_collections.certautopilot.ops.plugins.module_utils._installation import survey as surveys
from ansible_collections.certautopilot.ops.plugins.module_utils._rotation import deadline
from ansible_collections.certautopilot.ops.plugins.module_utils._store import changes
from ansible_collections.certautopilot.ops.plugins.module_utils._store.connection import open_store
from ansible_collections.certautopilot.ops.plugins.module_utils._verbs import kek_rotate
from bson import ObjectId

from tests.chaos.rotating import Rotating
from tests.support.sealed import credential, envelope, plaintext_of
from tests.support.server_commands import asked

PLAIN = "zones"  # of the site: records in which nothing is sealed, so that only a walk of everything reads them
SECRETS = sorted(f"secret {n}".encode() for n in range(12))


@pytest.fixture
def rotatable(env_site):
    env_site.add_kek(2)
    env_site.write()
    return env_site


@pytest.fixture
def call(rotatable):
    """Rotate to version 2; return (rotation, walks of everything, whether anything changed)."""

    def rotate(**options):
        with asked() as sent:
            result = rotatable.call("kek_rotate", to_version=2, **options)
        return result.values["rotation"], sent.walks(PLAIN), result.changed

    return rotate


@pytest.fixture
def slice_(call, monkeypatch):
    """Rotate for so long that two of the batches, of one document each, can move."""

    def rotate(**options):
        clock = itertools.count()
        monkeypatch.setattr(deadline, "time", types.SimpleNamespace(monotonic=lambda: next(clock)))
        told = call(batch_size=1, max_seconds=2, **options)
        monkeypatch.undo()
        return told

    return rotate


@pytest.fixture
def without_oplog():
    """Have the server seem to keep no oplog, as one that is no replica set."""
    seeming = pytest.MonkeyPatch()
    yield lambda: seeming.setattr(changes, "begin", lambda _store: None)
    seeming.undo()


def opened(site, version):
    return sorted(
        plaintext_of(site.keks[version], d["_id"], "encrypted_api_key", d["encrypted_api_key"])
        for d in site.db.dns_credentials.find({"kek_version": version})
    )


def record(site):
    return site.db.kek_rotations.find_one({"_id": "to-2"})


# oplog of the server: how often all slices together read what holds no envelope
@pytest.mark.parametrize(("oplog", "reads"), [("kept", 1), ("none", 2)])
def test_x40_in_however_many_slices_everything_is_read_twice_at_most_and_each_slice_gets_further(
    rotatable, slice_, without_oplog, oplog, reads
):
    if oplog == "none":
        without_oplog()
    walks, seen = [], []
    while not seen or seen[-1][1] != "complete":
        rotation, walked, _changed = slice_()
        walks.append(walked)
        seen.append((record(rotatable)["moved"], rotation["state"]))

    assert len(seen) >= 4
    assert all(later != earlier for earlier, later in itertools.pairwise(seen))
    assert (walks[0], sum(walks)) == (1, reads)
    assert opened(rotatable, 2) == SECRETS


def test_the_slices_of_one_run_tell_what_they_did_together_and_a_run_of_its_own_what_it_did_alone(slice_, call):
    first, _walks, _changed = slice_(slice_of="ab12")
    second, _walks, _changed = slice_(slice_of="ab12")
    other, _walks, _changed = call()

    assert 0 < first["rewrapped"] < second["rewrapped"]
    assert (second["rewrapped"] + second["remaining"], second["proof"]["made"]) == (12, second["rewrapped"])
    assert second["rewrapped"] + other["rewrapped"] == 12


def test_the_last_slice_of_a_run_tells_its_share_though_another_process_ended_the_rotation(slice_, call):
    first, _walks, _changed = slice_(slice_of="ab12")
    call()
    last, walks, changed = call(slice_of="ab12")

    assert (last["state"], last["rewrapped"], last["from_versions"]) == ("complete", first["rewrapped"], [1])
    assert (walks, changed) == (1, True)


def test_x41_a_helper_follows_the_plan_of_the_leader_and_surveys_nothing(rotatable, call, request):
    constants = {"RANGE_ENVELOPES": 3}
    leader = Rotating(
        rotatable, constants=constants, stop={"fail_point": "write_batch", "nth": 1},
        to_version=2, batch_size=3, allow_empty_fleet=True,
    )  # fmt: skip
    request.addfinalizer(leader.kill)
    leader.wait_until_stopped()

    rotation, walks, changed = call(batch_size=3, max_seconds=5)

    assert (rotation["state"], rotation["rewrapped"], rotation["remaining"]) == ("rewrapping", 9, 3)
    assert (walks, changed) == (0, True)


def test_t20_a_second_run_reads_everything_once_and_writes_nothing(rotatable, call):
    call()
    with asked() as sent:
        again = rotatable.call("kek_rotate", to_version=2)

    assert (again.changed, sent.walks(PLAIN), sent.writes()) == (False, 1, [])


def test_a_run_after_the_end_that_finds_a_late_write_stops_looking_and_plans(rotatable, call):
    call()
    rotatable.db.dns_credentials.insert_one(credential(rotatable.keks[1], b"late"))

    rotation, walks, _changed = call()

    assert (rotation["rewrapped"], rotation["state"]) == (1, "complete")
    assert walks == 1  # the plan: the look before it ended at the late record


# phase: what a leader is killed just before, the state it leaves, how often its successor walks everything
DEATHS = {
    "planning": ("lay_ranges", "planning", 1),
    "rewrapping": ("write_batch", "rewrapping", 0),
    "verifying": ("note_verification", "verifying", 0),
    "swapping": ("swap_active", "swapping", 0),
    "swapped": ("repair_row_states", "swapping", 0),
    "settling": ("begin_settling", "settling", 0),
    "complete": ("clear_ranges", "complete", 1),
}


@pytest.mark.parametrize("oplog", ["kept", "none"])
def test_t4_an_envelope_that_a_writer_puts_among_plain_records_after_the_survey_stops_the_swap(
    rotatable, slice_, call, without_oplog, oplog
):
    if oplog == "none":
        without_oplog()
    slice_()
    record_id = rotatable.db[PLAIN].find_one()["_id"]
    sealed = envelope(rotatable.keks[1], record_id, "spare", b"put there meanwhile")
    rotatable.db[PLAIN].update_one({"_id": record_id}, {"$set": {"spare": sealed}})

    with pytest.raises(OpsError) as refusal:
        call()

    assert refusal.value.code == "catalogue.outside"
    assert str(record_id) in refusal.value.message
    assert rotatable.db.kek_versions.find_one({"_id": "active"})["version"] == 1


def test_a_collection_with_a_dot_in_its_name_is_not_taken_for_one_without_envelopes(rotatable):
    sealed = envelope(rotatable.keks[1], "first", "spare", b"in it")
    rotatable.db["plugins.of"].insert_one({"_id": "first", "spare": sealed})
    rotatable.db["plugins.plain"].insert_one({"_id": 1})

    with open_store(Secret(rotatable.uri), rotatable.name) as store:
        found = surveys.take(store, Catalogue({"plugins.of": ("spare",)}))
        unlisted = surveys.take(store, Catalogue())

    assert found.bare(Catalogue({"plugins.of": ("spare",)})) == ("plugins.plain", PLAIN)
    assert unlisted.bare(Catalogue()) == ("plugins.plain", PLAIN)


def test_a_collection_that_came_after_the_survey_is_read_whole(rotatable, slice_, call):
    slice_()
    sealed = envelope(rotatable.keks[1], "late", "spare", b"came late")
    rotatable.db.came_late.insert_one({"_id": "late", "spare": sealed})

    with pytest.raises(OpsError) as refusal:
        call()

    assert (refusal.value.code, "came_late/late" in refusal.value.message) == ("catalogue.outside", True)


@pytest.mark.parametrize("phase", DEATHS)
def test_t16_a_leader_that_dies_in_any_phase_is_followed_by_one_that_goes_on_from_there(
    rotatable, call, monkeypatch, phase
):
    moment, left, walked = DEATHS[phase]
    stop = {"fail_point": moment, "nth": 1}
    leader = Rotating(rotatable, constants={"LEASE_S": 1}, stop=stop, to_version=2, allow_empty_fleet=True)
    leader.wait_until_stopped()
    leader.kill()
    leader.outcome()
    state = record(rotatable)["state"]
    monkeypatch.setattr(kek_rotate, "LEASE_S", 1)

    rotation, walks, _changed = call()

    assert (state, walks) == (left, walked)
    assert (rotation["state"], rotation["remaining"]) == ("complete", 0)
    assert opened(rotatable, 2) == SECRETS
    # WHY one more where it died before the swap: whoever might still sleep there expects the epoch of before.
    epoch = 3 if phase == "swapping" else 2
    assert rotatable.db.kek_versions.find_one({"_id": "active"}) == {"_id": "active", "version": 2, "epoch": epoch}
    assert record(rotatable)["rewrapped_total"] == 12


def test_x40_a_writer_that_fills_the_first_collection_does_not_keep_the_others_from_moving(rotatable, slice_):
    def account():
        record_id = ObjectId()
        sealed = envelope(rotatable.keks[1], record_id, "encrypted_private_key", b"account key")
        rotatable.db.acme_accounts.insert_one({"_id": record_id, "encrypted_private_key": sealed, "kek_version": 1})

    slice_()
    rotatable.db.kek_ranges.delete_many({})  # as after a plan that was not taken up: passes find everything
    for _number in range(12):
        account()
        slice_()
    moved = rotatable.db.dns_credentials.count_documents({"kek_version": 2})
    states = [slice_()[0]["state"] for _number in range(6)]

    assert moved == 12
    assert states[-1] == "complete"


def test_a_field_that_the_operator_adds_half_way_is_part_of_a_new_plan(rotatable, slice_, call):
    slice_()
    sealed = envelope(rotatable.keks[1], "plugin", "spare", b"found later")
    rotatable.db.plugins.insert_one({"_id": "plugin", "spare": sealed, "kek_version": 1})
    with pytest.raises(OpsError) as refusal:
        call()
    standing = record(rotatable)["plan"]["number"]

    result = rotatable.call("kek_rotate", overrides={"catalogue": {"plugins": ["spare"]}}, to_version=2)

    assert refusal.value.code == "catalogue.outside"
    assert record(rotatable)["plan"]["number"] > standing
    assert result.values["rotation"]["state"] == "complete"
    assert rotatable.db.plugins.find_one()["spare"]["kek_version"] == 2


def test_the_time_to_settle_counts_over_all_slices_of_a_run_and_anew_for_the_next_run(rotatable, call):
    now = rotatable.client.admin.command("hello")["localTime"]
    beat = {"_id": "stubborn", "loaded_versions": [1, 2], "current_version": 1, "updated_at": now}
    rotatable.db.process_heartbeats.insert_one(beat)

    def slices():
        """Settle in slices of a second; yield the state that each ends in."""
        while True:
            yield call(slice_of="ab12", settle_timeout=3, max_seconds=1)[0]["state"]

    with pytest.raises(OpsError) as failure:
        list(itertools.islice(slices(), 10))
    anew, _walks, _changed = call(settle_timeout=3, max_seconds=1)

    assert failure.value.code == "rotate.not_settled"
    assert anew["state"] == "settling"
