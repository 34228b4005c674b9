# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""kek_rotate on a real server: what moves, what is named, what a second run and a killed run do."""

from __future__ import annotations

import hashlib
import itertools
import os
import types

import pytest
from ansible_collections.certautopilot.ops.plugins.module_utils._domain import wrap_proof
from ansible_collections.certautopilot.ops.plugins.module_utils._domain.errors import OpsError
from ansible_collections.certautopilot.ops.plugins.module_utils._keys.env import EnvProvider
from ansible_collections.certautopilot.ops.plugins.module_utils._keys.provider import KeyFailure
from ansible_collections.certautopilot.ops.plugins.module_utils._rotation import (
    batch,
    deadline,
    leader,
    outcome,
    pipeline,
)
from ansible_collections.certautopilot.ops.plugins.module_utils._store import records
from bson import ObjectId
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from tests.support.sealed import credential, envelope, plaintext_of


@pytest.fixture
def rotatable(env_site):
    env_site.add_kek(2)
    env_site.write()
    return env_site


def secrets_under(site, version):
    return sorted(
        plaintext_of(site.keks[version], d["_id"], "encrypted_api_key", d["encrypted_api_key"])
        for d in site.db.dns_credentials.find()
    )


def test_every_envelope_moves_the_payload_stays_byte_for_byte_and_the_version_is_swapped(rotatable):
    before = {d["_id"]: d["encrypted_api_key"] for d in rotatable.db.dns_credentials.find()}

    result = rotatable.call("kek_rotate", from_version=1, to_version=2)

    assert result.values["rotation"]["rewrapped"] == 12
    assert result.values["rotation"]["state"] == "complete"
    assert secrets_under(rotatable, 2) == sorted(f"secret {n}".encode() for n in range(12))
    for document in rotatable.db.dns_credentials.find():
        now, old = document["encrypted_api_key"], before[document["_id"]]
        assert (now["ciphertext"], now["nonce"]) == (old["ciphertext"], old["nonce"])
        assert now["wrapped_dek"] != old["wrapped_dek"]
        assert (document["kek_version"], now["kek_version"], now["kv"]) == (2, 2, 2)
    assert rotatable.db.kek_versions.find_one({"_id": "active"}) == {"_id": "active", "version": 2, "epoch": 2}
    assert [row["state"] for row in rotatable.db.kek_versions.find({"_id": {"$in": [1, 2]}}, sort=[("_id", 1)])] == [
        "deactivated",
        "active",
    ]


def test_t38_check_mode_predicts_what_the_real_run_does_and_writes_nothing(rotatable):
    before = rotatable.documents()

    predicted = rotatable.call("kek_rotate", check=True, to_version=2)
    untouched = rotatable.documents() == before
    real = rotatable.call("kek_rotate", to_version=2)

    assert untouched
    assert predicted.changed
    assert real.changed
    assert real.values["rotation"].pop("retries") == 0
    assert real.values["rotation"].pop("proof") == {"verify": "all", "made": 12, "opened": 12, "bad_at_most": 0.0}
    assert predicted.values["rotation"] == real.values["rotation"]
    assert (predicted.before, predicted.after) == (real.before, real.after)


def test_t20_a_second_run_writes_nothing_and_opens_no_envelope(rotatable, monkeypatch):
    rotatable.call("kek_rotate", to_version=2)
    before, real, asked = rotatable.documents(), EnvProvider.unwrap, []
    monkeypatch.setattr(
        EnvProvider, "unwrap", lambda self, requests, **how: asked.extend(requests) or real(self, requests, **how)
    )

    result = rotatable.call("kek_rotate", to_version=2)

    assert not result.changed
    assert rotatable.documents() == before
    assert asked == []


def test_t13_a_poisoned_envelope_is_named_the_rest_moves_and_the_version_is_not_swapped(rotatable):
    victim = rotatable.db.dns_credentials.find_one(sort=[("_id", -1)])
    broken = bytearray(victim["encrypted_api_key"]["wrapped_dek"])
    broken[20] ^= 1
    update = {"$set": {"encrypted_api_key.wrapped_dek": bytes(broken)}}
    rotatable.db.dns_credentials.update_one({"_id": victim["_id"]}, update)

    with pytest.raises(OpsError) as failure:
        rotatable.call("kek_rotate", to_version=2)

    listed = failure.value.facts["rotation"]["failures"]
    assert failure.value.code == "rotate.incomplete"
    assert [entry["place"] for entry in listed] == [f"dns_credentials/{victim['_id']}.encrypted_api_key"]
    assert listed[0]["code"] == "envelope.unauthentic"
    assert rotatable.db.dns_credentials.count_documents({"kek_version": 2}) == 11
    assert rotatable.db.kek_versions.find_one({"_id": "active"})["version"] == 1


def test_t5_a_lying_version_tag_is_named_with_the_version_that_is_true(rotatable):
    kek2 = rotatable.keks[2]
    liar = credential(kek2, b"under two")
    liar["encrypted_api_key"]["kek_version"] = liar["encrypted_api_key"]["kv"] = 1
    rotatable.db.dns_credentials.insert_one(liar)

    with pytest.raises(OpsError) as failure:
        rotatable.call("kek_rotate", to_version=2)

    (entry,) = failure.value.facts["rotation"]["failures"]
    assert entry["code"] == "envelope.lying_version"
    assert "sealed under 2" in entry["reason"]
    assert rotatable.db.dns_credentials.find_one({"_id": liar["_id"]}) == liar


def test_t15_a_record_that_a_writer_touches_during_the_batch_is_left_as_the_writer_left_it_and_moves_later(
    rotatable, monkeypatch
):
    contended = rotatable.db.dns_credentials.find_one()
    kek, real, struck = rotatable.keks[1], records.compare_and_set, []

    def strike_first(store, collection, changes):
        if not struck and collection == "dns_credentials":
            struck.append(True)
            fresh = envelope(kek, contended["_id"], "encrypted_api_key", b"written meanwhile")
            rotatable.db.dns_credentials.update_one({"_id": contended["_id"]}, {"$set": {"encrypted_api_key": fresh}})
        return real(store, collection, changes)

    monkeypatch.setattr(batch.records, "compare_and_set", strike_first)

    result = rotatable.call("kek_rotate", to_version=2)

    assert result.values["rotation"]["conflicts"] == 1
    assert result.values["rotation"]["rewrapped"] == 12
    assert b"written meanwhile" in secrets_under(rotatable, 2)


def test_several_sealed_fields_of_one_document_move_together_or_not_at_all(rotatable):
    document = credential(rotatable.keks[1], b"one")
    document["spare"] = envelope(rotatable.keks[1], document["_id"], "spare", b"two")
    document["spare"]["ciphertext"] = b"x"
    document["spare"]["wrapped_dek"] = b"\0" * 60
    rotatable.db.dns_credentials.insert_one(document)

    with pytest.raises(OpsError) as failure:
        rotatable.call("kek_rotate", overrides={"catalogue": {"dns_credentials": ["spare"]}}, to_version=2)

    assert [entry["place"].split(".")[-1] for entry in failure.value.facts["rotation"]["failures"]] == ["spare"]
    assert rotatable.db.dns_credentials.find_one({"_id": document["_id"]}) == document


def test_a_run_with_a_time_limit_stops_between_batches_and_the_next_one_ends_it(rotatable, monkeypatch):
    clock = itertools.count()
    monkeypatch.setattr(deadline, "time", types.SimpleNamespace(monotonic=lambda: next(clock)))

    first = rotatable.call("kek_rotate", to_version=2, batch_size=4, max_seconds=3)
    monkeypatch.undo()
    second = rotatable.call("kek_rotate", to_version=2)

    assert first.values["rotation"]["state"] == "rewrapping"
    assert first.values["rotation"]["remaining"] > 0
    assert second.values["rotation"]["state"] == "complete"
    assert first.values["rotation"]["rewrapped"] + second.values["rotation"]["rewrapped"] == 12


def test_t17_envelopes_of_a_third_version_stop_a_rotation_that_names_its_source_and_move_in_one_that_does_not(
    rotatable,
):
    rotatable.call("kek_rotate", to_version=2)
    rotatable.add_kek(3)
    rotatable.write()
    rotatable.db.dns_credentials.insert_one(credential(rotatable.keks[1], b"late writer"))

    with pytest.raises(OpsError) as refusal:
        rotatable.call("kek_rotate", from_version=2, to_version=3)
    result = rotatable.call("kek_rotate", to_version=3)

    assert refusal.value.code == "rotate.other_versions"
    assert result.values["rotation"]["rewrapped"] == 13
    assert b"late writer" in secrets_under(rotatable, 3)


@pytest.mark.parametrize(
    ("options", "code"),
    [
        ({"to_version": 9}, "rotate.target_not_loaded"),
        ({"to_version": 2, "from_version": 2}, "rotate.same_version"),
        ({"to_version": 0}, "rotate.options"),
        ({"to_version": 2, "batch_size": 0}, "rotate.options"),
    ],
)
def test_a_rotation_that_makes_no_sense_is_refused_and_nothing_is_written(rotatable, options, code):
    before = rotatable.documents()

    with pytest.raises(OpsError) as refusal:
        rotatable.call("kek_rotate", **options)

    assert refusal.value.code == code
    assert rotatable.documents() == before


def test_a_rotation_back_to_an_older_version_is_refused(rotatable):
    rotatable.call("kek_rotate", to_version=2)

    with pytest.raises(OpsError) as refusal:
        rotatable.call("kek_rotate", to_version=1)

    assert refusal.value.code == "rotate.downgrade"


def test_a_rotation_whose_swap_happened_but_whose_tail_did_not_drain_resumes(rotatable):
    rotatable.call("kek_rotate", to_version=2)
    rotatable.db.dns_credentials.insert_one(credential(rotatable.keks[1], b"tail"))

    result = rotatable.call("kek_rotate", from_version=1, to_version=2)

    assert result.values["rotation"]["rewrapped"] == 1
    assert b"tail" in secrets_under(rotatable, 2)


def test_a_rotation_back_is_possible_when_it_is_asked_for(rotatable):
    rotatable.call("kek_rotate", to_version=2)

    result = rotatable.call("kek_rotate", to_version=1, allow_downgrade=True)

    assert result.after["active"] == 1
    assert secrets_under(rotatable, 1) == sorted(f"secret {n}".encode() for n in range(12))


def test_an_unfinished_rotation_is_cancelled_back_to_one_version(rotatable, monkeypatch):
    clock = itertools.count()
    monkeypatch.setattr(deadline, "time", types.SimpleNamespace(monotonic=lambda: next(clock)))
    rotatable.call("kek_rotate", to_version=2, batch_size=4, max_seconds=3)
    monkeypatch.undo()
    half_way = rotatable.db.dns_credentials.count_documents({"kek_version": 2})

    cancelled = rotatable.call("kek_rotate", to_version=2, state="cancelled")
    again = rotatable.call("kek_rotate", to_version=2, state="cancelled")

    assert 0 < half_way < 12
    assert cancelled.values["rotation"]["rewrapped"] == half_way
    assert not again.changed
    assert secrets_under(rotatable, 1) == sorted(f"secret {n}".encode() for n in range(12))
    assert rotatable.db.kek_rotations.find_one({"_id": "to-2"})["state"] == "cancelled"
    assert rotatable.call("kek_rotate", to_version=2).values["rotation"]["state"] == "complete"


def test_a_rotation_that_has_swapped_cannot_be_cancelled(rotatable):
    rotatable.call("kek_rotate", to_version=2)
    rotatable.db.kek_rotations.update_one({}, {"$set": {"state": "settling"}})

    with pytest.raises(OpsError) as refusal:
        rotatable.call("kek_rotate", to_version=2, state="cancelled")

    assert refusal.value.code == "rotate.cannot_cancel"


def test_t12_wraps_are_counted_and_a_version_near_its_limit_is_refused_though_a_restore_rolled_the_counter_back(
    rotatable,
):
    rotatable.call("kek_rotate", to_version=2)
    counted = rotatable.db.kek_versions.find_one({"_id": 2})["invocations"]
    rotatable.add_kek(3)
    rotatable.write()
    rotatable.db.kek_versions.insert_one({"_id": 3, "provider": "env", "state": "pre-activation", "invocations": 2**32})

    with pytest.raises(OpsError) as refusal:
        rotatable.call("kek_rotate", to_version=3)
    rotatable.db.kek_versions.update_one({"_id": 3}, {"$set": {"invocations": 2**31}})
    rotatable.call("kek_rotate", to_version=3)

    assert counted >= 12
    assert refusal.value.code == "budget.exhausted"
    assert any("plan a new version" in warning for warning in rotatable.warnings)


def test_t39_after_a_compromise_no_data_key_is_kept_and_the_reissue_list_is_ordered_by_exposure(rotatable):
    key_id, kek = ObjectId(), rotatable.keks[1]
    sealed = envelope(kek, key_id, "encrypted_key", b"pem")
    rotatable.db.certificate_private_keys.insert_one({"_id": key_id, "encrypted_key": sealed, "kek_version": 1})
    before = {d["_id"]: d["encrypted_api_key"] for d in rotatable.db.dns_credentials.find()}

    rotation = rotatable.call("kek_rotate", to_version=2, compromised=True).values["rotation"]

    assert (rotation["rewrapped"], rotation["reissue_total"]) == (13, 13)
    assert rotation["reissue"][0]["place"] == f"certificate_private_keys/{key_id}.encrypted_key"
    assert "keyCompromise" in rotation["reissue"][0]["action"]
    assert secrets_under(rotatable, 2) == sorted(f"secret {n}".encode() for n in range(12))
    for document in rotatable.db.dns_credentials.find():
        old, new = before[document["_id"]], document["encrypted_api_key"]
        assert all(old[name] != new[name] for name in ("wrapped_dek", "nonce", "ciphertext"))
        deks = dek_of(kek, document["_id"], old), dek_of(rotatable.keks[2], document["_id"], new)
        assert deks[0] != deks[1]
    assert rotatable.db.kek_versions.find_one({"_id": 1})["state"] == "compromised"
    assert not rotatable.call("kek_rotate", to_version=2).changed


def test_the_list_of_what_must_be_reissued_is_returned_again_after_a_run_that_died_before_it_could_return_it(
    rotatable, monkeypatch
):
    def dies(*_arguments):
        raise KeyboardInterrupt

    monkeypatch.setattr(outcome, "reissue_list", dies)
    with pytest.raises(KeyboardInterrupt):
        rotatable.call("kek_rotate", to_version=2, compromised=True)
    monkeypatch.undo()

    again = rotatable.call("kek_rotate", to_version=2, compromised=True)

    assert not again.changed
    assert again.values["rotation"]["reissue_total"] == len(again.values["rotation"]["reissue"]) == 12


def dek_of(kek, record_id, sealed):
    aad = hashlib.sha256(f"{record_id}encrypted_api_key".encode()).digest()
    return AESGCM(kek).decrypt(sealed["wrapped_dek"][:12], sealed["wrapped_dek"][12:], aad)


@pytest.fixture
def sweeps(monkeypatch):
    """The collections that a leader passes over after the swap."""
    swept, real = [], leader.SharedWork.sweep

    def sweep(self, collection, guard):
        swept.append(collection)
        return real(self, collection, guard)

    monkeypatch.setattr(leader.SharedWork, "sweep", sweep)
    return swept


def test_after_a_swap_nothing_is_read_again_where_the_server_tells_that_nothing_changed(rotatable, sweeps):
    rotatable.db.zones.insert_one({"_id": "in no catalogue"})

    assert rotatable.call("kek_rotate", to_version=2).values["rotation"]["state"] == "complete"
    assert sweeps == []


def test_after_a_swap_everything_is_read_again_where_the_server_cannot_tell_what_changed(
    rotatable, sweeps, monkeypatch
):
    monkeypatch.setattr(leader.changes, "begin", lambda _store: None)

    rotatable.call("kek_rotate", to_version=2)

    assert "dns_credentials" in sweeps


@pytest.mark.parametrize("moment", ["swap_active", "repair_states"])
def test_what_is_sealed_under_the_old_version_around_the_swap_is_moved(rotatable, sweeps, monkeypatch, moment):
    real = getattr(leader.keystore, moment)

    def sealed_meanwhile(*arguments, **named):
        rotatable.db.dns_credentials.insert_one(credential(rotatable.keks[1], b"secret late"))
        return real(*arguments, **named)

    monkeypatch.setattr(leader.keystore, moment, sealed_meanwhile)

    rotation = rotatable.call("kek_rotate", to_version=2).values["rotation"]

    assert (rotation["state"], rotation["rewrapped"]) == ("complete", 13)
    assert b"secret late" in secrets_under(rotatable, 2)
    assert "dns_credentials" in sweeps


def test_a_share_limit_spaces_the_batches_out(rotatable, monkeypatch):
    slept = []
    clock = types.SimpleNamespace(monotonic=lambda: 0.0, sleep=slept.append)
    monkeypatch.setattr(pipeline, "time", clock)

    rotatable.call("kek_rotate", to_version=2, batch_size=4, hsm_share=24)

    assert slept[:3] == [0.5, 0.5, 0.5]  # four envelopes, three calls each, 24 calls a second


def test_several_hsm_workers_do_the_same_work(hsm_site):
    hsm_site.call("kek_pkcs11_init", version=1)
    hsm_site.call("kek_pkcs11_init", version=2)

    assert hsm_site.call("kek_rotate", to_version=2, workers=2).values["rotation"]["state"] == "complete"


def test_a_compromised_rotation_in_slices_marks_every_version_it_emptied(rotatable, monkeypatch):
    rotatable.call("kek_rotate", to_version=2)
    rotatable.add_kek(3)
    rotatable.write()
    rotatable.db.dns_credentials.insert_one(credential(rotatable.keks[1], b"late"))
    clock = itertools.count()
    monkeypatch.setattr(deadline, "time", types.SimpleNamespace(monotonic=lambda: next(clock)))
    rotatable.db.kek_versions.update_one({"_id": 1}, {"$set": {"state": "deactivated"}})
    first = rotatable.call("kek_rotate", to_version=3, batch_size=12, max_seconds=3, compromised=True)
    monkeypatch.undo()

    second = rotatable.call("kek_rotate", to_version=3, compromised=True)

    assert first.values["rotation"]["state"] == "rewrapping"
    assert "reissue" not in first.values["rotation"]
    assert second.values["rotation"]["reissue_total"] == 13
    assert [rotatable.db.kek_versions.find_one({"_id": version})["state"] for version in (1, 2)] == ["compromised"] * 2


def test_t39_a_rewrapped_database_is_not_called_resealed_when_the_compromise_is_learnt_of_later(rotatable):
    rotatable.call("kek_rotate", to_version=2)
    before = rotatable.documents()

    with pytest.raises(OpsError) as refusal:
        rotatable.call("kek_rotate", to_version=2, compromised=True)

    assert refusal.value.code == "rotate.not_resealed"
    assert rotatable.documents() == before
    rotatable.add_kek(3)
    rotatable.write()
    assert rotatable.call("kek_rotate", to_version=3, compromised=True).values["rotation"]["reissue_total"] == 12
    assert not rotatable.call("kek_rotate", to_version=3, compromised=True).changed


def test_t39_a_half_done_rewrap_is_not_finished_as_a_reseal_and_a_half_done_reseal_not_as_a_rewrap(
    rotatable, monkeypatch
):
    def half(to_version, **options):
        clock = itertools.count()
        monkeypatch.setattr(deadline, "time", types.SimpleNamespace(monotonic=lambda: next(clock)))
        result = rotatable.call("kek_rotate", to_version=to_version, batch_size=6, max_seconds=3, **options)
        monkeypatch.undo()
        assert result.values["rotation"]["state"] == "rewrapping"

    half(2)
    with pytest.raises(OpsError) as refusal:
        rotatable.call("kek_rotate", to_version=2, compromised=True)
    rotatable.call("kek_rotate", to_version=2)
    rotatable.add_kek(3)
    rotatable.write()
    before = {d["_id"]: d["encrypted_api_key"]["ciphertext"] for d in rotatable.db.dns_credentials.find()}
    half(3, compromised=True)
    resumed = rotatable.call("kek_rotate", to_version=3)

    assert refusal.value.code == "rotate.not_resealed"
    assert resumed.values["rotation"]["compromised"]
    for document in rotatable.db.dns_credentials.find():
        assert document["encrypted_api_key"]["ciphertext"] != before[document["_id"]]


def test_verify_none_and_sample_open_fewer_wraps_and_say_what_that_is_worth(rotatable):
    none = rotatable.call("kek_rotate", to_version=2, prove_wraps="none").values["rotation"]
    opened_by_nobody = secrets_under(rotatable, 2)
    sample = rotatable.call("kek_rotate", to_version=1, prove_wraps="sample", allow_downgrade=True).values["rotation"]

    assert none["proof"] == {"verify": "none", "made": 12, "opened": 0, "bad_at_most": None}
    assert opened_by_nobody == sorted(f"secret {n}".encode() for n in range(12))
    assert (sample["proof"]["made"], sample["proof"]["opened"]) == (12, 1)
    assert 0 < sample["proof"]["bad_at_most"] < 1


def test_t27_one_bad_wrap_in_a_sample_proves_the_whole_batch_and_only_bad_ones_stay_behind(rotatable, monkeypatch):
    real = EnvProvider.rewrap

    def corrupt(self, to_version, requests, *, prove=None):
        """As an HSM that spoils the first and the last wrap of a batch: it shows only where it is opened again."""
        outcomes = real(self, to_version, requests, prove=prove)
        for index in (0, len(requests) - 1):
            seen = prove is None or index in prove
            outcomes[index] = KeyFailure("verification", "spoilt") if seen else bytes(60)
        return outcomes

    monkeypatch.setattr(EnvProvider, "rewrap", corrupt)
    monkeypatch.setattr(wrap_proof.random, "sample", lambda places, _size: [places[-1]])

    with pytest.raises(OpsError) as failure:
        rotatable.call("kek_rotate", to_version=2, prove_wraps="sample")
    rotation = failure.value.facts["rotation"]

    assert {entry["code"] for entry in rotation["failures"]} == {"envelope.wrap_unproven"}
    assert rotatable.db.dns_credentials.count_documents({"kek_version": 2}) == rotation["rewrapped"]
    assert len(secrets_under_tags(rotatable)) == 12


def secrets_under_tags(site):
    """Return every secret, each opened under the version its tag names."""
    return {
        plaintext_of(site.keks[d["kek_version"]], d["_id"], "encrypted_api_key", d["encrypted_api_key"])
        for d in site.db.dns_credentials.find()
    }


def test_t18_an_envelope_of_a_version_nobody_knows_keeps_a_rotation_from_being_complete(rotatable):
    rotatable.db.dns_credentials.insert_one(credential(os.urandom(32), b"of nobody", version=9))

    with pytest.raises(OpsError) as failure:
        rotatable.call("kek_rotate", to_version=2)

    assert failure.value.code == "rotate.incomplete"
    assert [entry["code"] for entry in failure.value.facts["rotation"]["failures"]] == ["envelope.version_not_loaded"]
    assert rotatable.db.kek_versions.find_one({"_id": "active"})["version"] == 1


def test_damage_that_no_query_selects_is_found_before_the_swap_and_stops_it(rotatable):
    broken = credential(rotatable.keks[1], b"without a version")
    del broken["kek_version"], broken["encrypted_api_key"]["kek_version"], broken["encrypted_api_key"]["kv"]
    rotatable.db.dns_credentials.insert_one(broken)

    with pytest.raises(OpsError) as failure:
        rotatable.call("kek_rotate", to_version=2)

    assert [entry["code"] for entry in failure.value.facts["rotation"]["failures"]] == ["envelope.malformed"]
    assert rotatable.db.kek_versions.find_one({"_id": "active"})["version"] == 1
    assert rotatable.db.kek_rotations.find_one({"_id": "to-2"})["state"] == "rewrapping"


def test_a_writer_that_never_rests_under_the_old_version_does_not_keep_the_swap_from_happening(rotatable, monkeypatch):
    real, kek = pipeline.records.compare_and_set, rotatable.keks[1]

    def written_behind(store, collection, changes):
        done = real(store, collection, changes)
        if rotatable.db.kek_versions.find_one({"_id": "active"})["version"] == 1:
            rotatable.db.dns_credentials.insert_one(credential(kek, b"one more"))
        return done

    monkeypatch.setattr(pipeline.records, "compare_and_set", written_behind)

    result = rotatable.call("kek_rotate", to_version=2)

    assert result.values["rotation"]["state"] == "complete"
    assert rotatable.db.dns_credentials.count_documents({"kek_version": {"$ne": 2}}) == 0
    assert secrets_under(rotatable, 2).count(b"one more") > 0


def test_t20_a_second_run_over_an_hsm_neither_logs_in_nor_writes(hsm_site):
    hsm_site.call("kek_pkcs11_init", version=1)
    hsm_site.call("kek_pkcs11_init", version=2)
    hsm_site.call("kek_rotate", to_version=2)
    before, leases = hsm_site.documents(), list(hsm_site.db.locks.find())
    hsm_site.pkcs11["pin"] = "0000-wrong"
    hsm_site.write()

    result = hsm_site.call("kek_rotate", to_version=2)

    assert not result.changed
    assert (hsm_site.documents(), list(hsm_site.db.locks.find())) == (before, leases)
