# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""kek_remove on a real server: every refusal, and a fence that the server itself holds against writers that slept."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from datetime import UTC, datetime, timedelta

import pymongo
import pytest
from ansible_collections.certautopilot.ops.plugins.module_utils._domain.errors import OpsError
from ansible_collections.certautopilot.ops.plugins.module_utils._verbs import kek_remove
from bson import ObjectId

from tests.support import repository
from tests.support.processes import repository_environment
from tests.support.sealed import credential, envelope, plaintext_of


@pytest.fixture
def rotated(env_site):
    """An installation that was rotated from 1 to 2."""
    env_site.add_kek(2)
    env_site.write()
    env_site.call("kek_rotate", to_version=2)
    return env_site


def refused(site, **options):
    before = site.documents()
    with pytest.raises(OpsError) as refusal:
        site.call("kek_remove", **{"version": 1, "grace": 0, **options})
    assert site.documents() == before
    return refusal.value


def test_a_version_that_nothing_uses_is_retired_once(rotated):
    before = rotated.documents()

    predicted = rotated.call("kek_remove", check=True, version=1, grace=0)
    untouched = rotated.documents() == before
    real = rotated.call("kek_remove", version=1, grace=0)
    again = rotated.call("kek_remove", version=1, grace=0)

    assert untouched
    assert predicted.values == real.values
    assert (real.changed, again.changed) == (True, False)
    row = rotated.db.kek_versions.find_one({"_id": 1})
    assert (row["state"], real.values["removed"]["state"]) == ("deactivated", "deactivated")
    assert row["removed_at"] is not None
    assert (real.before["removed"], real.after["removed"]) == (False, True)


def test_x63_an_env_version_is_destroyed_only_once_no_host_is_known_to_hold_its_kek(rotated):
    rotated.call("kek_remove", version=1, grace=0)
    del rotated.keks[1]
    rotated.write()
    now = rotated.client.admin.command("hello")["localTime"]
    other = {"_id": "other host", "current_version": 2, "loaded_versions": [1, 2], "updated_at": now}
    rotated.db.process_heartbeats.insert_one(other)

    still_loaded = rotated.call("kek_remove", version=1, grace=0)
    rotated.db.process_heartbeats.update_one({}, {"$set": {"loaded_versions": [2]}})
    before = rotated.documents()
    predicted = rotated.call("kek_remove", check=True, version=1, grace=0)
    untouched = rotated.documents() == before
    gone = rotated.call("kek_remove", version=1, grace=0)
    again = rotated.call("kek_remove", version=1, grace=0)

    assert not still_loaded.changed
    assert untouched
    assert predicted.values == gone.values
    assert (gone.before["state"], gone.after["state"]) == ("deactivated", "destroyed")
    assert (gone.changed, again.changed) == (True, False)
    assert rotated.db.kek_versions.find_one({"_id": 1})["state"] == "destroyed"


@pytest.mark.parametrize("state", ["compromised", "deactivated"])
def test_x63_a_removed_version_keeps_the_state_it_had_and_shows_that_it_was_removed(rotated, state):
    rotated.db.kek_versions.update_one({"_id": 1}, {"$set": {"state": state}})

    rotated.call("kek_remove", version=1, grace=0)

    rows = {row["version"]: row for row in rotated.call("kek_info").values["versions"]}
    assert (rows[1]["state"], rows[1]["removed"]) == (state, True)
    assert (rows[2]["state"], rows[2]["removed"]) == ("active", False)


def test_a_removed_version_is_no_target_of_a_rotation_any_more(rotated):
    rotated.call("kek_remove", version=1, grace=0)
    before = rotated.documents()

    with pytest.raises(OpsError) as refusal:
        rotated.call("kek_rotate", to_version=1, allow_downgrade=True)

    assert refusal.value.code == "rotate.target_removed"
    assert rotated.documents() == before


def test_a_version_that_release_0_1_called_destroyed_stays_removed(rotated):
    rotated.call("kek_remove", version=1, grace=0)
    rotated.db.kek_versions.update_one({"_id": 1}, {"$set": {"state": "destroyed"}, "$unset": {"removed_at": 1}})

    again = rotated.call("kek_remove", version=1, grace=0)

    assert not again.changed
    assert again.values["removed"]["state"] == "destroyed"
    assert rotated.call("kek_info", gather=("lock",)).values["versions"][0]["removed"]


def test_t1_after_removal_the_server_refuses_every_write_of_that_version_and_takes_those_of_others(rotated):
    rotated.call("kek_remove", version=1, grace=0)
    late, fresh = credential(rotated.keks[1], b"late"), credential(rotated.keks[2], b"fresh", version=2)
    standing = rotated.db.dns_credentials.find_one()
    stale = {
        "encrypted_api_key": envelope(rotated.keks[1], standing["_id"], "encrypted_api_key", b"x"),
        "kek_version": 1,
    }

    with pytest.raises(pymongo.errors.WriteError):
        rotated.db.dns_credentials.insert_one(late)
    with pytest.raises(pymongo.errors.WriteError):
        rotated.db.dns_credentials.update_one({"_id": standing["_id"]}, {"$set": stale})
    with pytest.raises(pymongo.errors.WriteError):
        rotated.db.acme_accounts.insert_one({"_id": 1, "encrypted_private_key": {"kek_version": 1}})
    rotated.db.dns_credentials.insert_one(fresh)

    assert rotated.db.dns_credentials.count_documents({"kek_version": 2}) == 13


def test_a_second_removal_widens_the_fence_and_a_validator_of_the_product_stays(rotated):
    product = {"name": {"$exists": True}}
    rotated.db.command("collMod", "dns_credentials", validator=product)
    rotated.call("kek_remove", version=1, grace=0)
    rotated.add_kek(3)
    rotated.write()
    rotated.call("kek_rotate", to_version=3)

    rotated.call("kek_remove", version=2, grace=0)

    for document in (
        credential(rotated.keks[1], b"x"),
        credential(rotated.keks[2], b"x", version=2),
        {"_id": ObjectId(), "kek_version": 3},
    ):
        with pytest.raises(pymongo.errors.WriteError):
            rotated.db.dns_credentials.insert_one(document)
    assert product in rotated.db.dns_credentials.options()["validator"]["$and"]


def test_a_validator_that_only_warns_is_not_made_strict_behind_the_owners_back(rotated):
    warn = {"validator": {"name": {"$exists": True}}, "validationAction": "warn"}
    rotated.db.command("collMod", "dns_credentials", **warn)

    with pytest.raises(OpsError) as refusal:
        rotated.call("kek_remove", version=1, grace=0)

    assert refusal.value.code == "remove.validator_in_the_way"


@pytest.mark.parametrize(
    ("prepare", "options", "code"),
    [
        (lambda s: None, {"version": 2}, "remove.active"),
        (lambda s: None, {"version": 7}, "remove.unknown_version"),
        (lambda s: None, {"grace": 3600}, "remove.too_soon"),
        (lambda s: s.db.kek_rotations.update_one({}, {"$set": {"state": "settling"}}), {}, "remove.rotation_running"),
        (lambda s: s.db.dns_credentials.insert_one(credential(s.keks[1], b"old")), {}, "remove.in_use"),
        (lambda s: s.db.elsewhere.insert_one({"_id": 1, "hidden": [{"deep": credential(s.keks[1], b"x")}]}), {},
         "remove.in_use"),
        (lambda s: s.db.dns_credentials.update_one({}, {"$unset": {"encrypted_api_key.nonce": 1}}), {},
         "remove.unreadable"),
        (lambda s: s.db.dns_credentials.update_one({}, {"$set": {"encrypted_api_key.ciphertext": b"\1" * 20}}), {},
         "remove.unreadable"),
        (lambda s: None, {"destroy_key": True, "check_value": "abcdef"}, "remove.no_key_to_destroy"),
        (lambda s: None, {"backups": ("/nonexistent",)}, "remove.no_backup"),
    ],
)  # fmt: skip
def test_each_refusal_says_its_reason_and_leaves_everything_as_it_was(rotated, prepare, options, code):
    prepare(rotated)

    assert refused(rotated, **options).code == code


def test_a_live_process_that_writes_with_the_version_stops_its_removal(rotated):
    now = rotated.client.admin.command("hello")["localTime"]
    rotated.db.process_heartbeats.insert_one({"_id": "slow", "current_version": 1, "updated_at": now})

    refusal = refused(rotated)

    assert refusal.code == "remove.in_use_by_process"
    assert "slow" in refusal.message


def test_t5_an_envelope_that_lies_about_its_version_stops_the_removal_of_the_one_it_needs(rotated):
    liar = credential(rotated.keks[1], b"needs version one", version=2)
    rotated.db.dns_credentials.insert_one(liar)

    refusal = refused(rotated)

    assert refusal.code == "remove.unreadable"
    assert str(liar["_id"]) in refusal.message


def test_x19_a_payload_that_a_rotation_of_env_does_not_open_is_found_before_its_old_version_goes(env_site):
    env_site.add_kek(2)
    env_site.write()
    sealed = env_site.db.dns_credentials.find_one()["encrypted_api_key"]
    flipped = bytes([sealed["ciphertext"][0] ^ 1]) + sealed["ciphertext"][1:]
    env_site.db.dns_credentials.update_one({}, {"$set": {"encrypted_api_key.ciphertext": flipped}})

    rotated = env_site.call("kek_rotate", to_version=2, prove_wraps="all")

    assert rotated.values["rotation"]["state"] == "complete"
    assert "No payload is opened" in (repository.text("docs/docsite/rst/guide_rotation.rst"))
    assert refused(env_site).code == "remove.unreadable"


def test_backups_that_need_the_version_are_named(env_site, tmp_path):
    env_site.call("db_backup", dest=str(tmp_path / "old"))
    env_site.add_kek(2)
    env_site.write()
    env_site.call("kek_rotate", to_version=2)
    env_site.call("db_backup", dest=str(tmp_path / "new"))

    backups = (str(tmp_path / "old"), str(tmp_path / "new"))
    removed = env_site.call("kek_remove", version=1, grace=0, backups=backups).values["removed"]

    assert removed["needed_by_backups"] == [str(tmp_path / "old")]
    assert any(str(tmp_path / "old") in warning for warning in env_site.warnings)


def test_t1_a_write_between_scan_and_fence_is_found_by_the_second_scan(rotated, monkeypatch):
    real = kek_remove.removed_version_validator.raise_around

    def a_slow_writer_commits_first(store, fields, version):
        rotated.db.dns_credentials.insert_one(credential(rotated.keks[1], b"just in time"))
        return real(store, fields, version)

    monkeypatch.setattr(kek_remove.removed_version_validator, "raise_around", a_slow_writer_commits_first)

    with pytest.raises(OpsError) as refusal:
        rotated.call("kek_remove", version=1, grace=0)
    monkeypatch.undo()
    rotated.call("kek_rotate", to_version=2)

    assert refusal.value.code == "remove.in_use"
    assert rotated.db.kek_versions.find_one({"_id": 1})["state"] == "deactivated"
    assert rotated.call("kek_remove", version=1, grace=0).changed


def test_t3_a_writer_that_was_stopped_through_rotation_and_removal_cannot_commit_when_it_wakes_up(
    env_site, tmp_path, request
):
    log = tmp_path / "writer.log"
    line = [sys.executable, "-m", "tests.support.service", "writer", "--config", str(env_site.config_file)]
    line += ["--secrets", str(env_site.secrets_file), "--seconds", "300", "--rate", "50", "--log", str(log)]
    line += ["--reload", "3600"]
    writer = subprocess.Popen(line, env=repository_environment())
    request.addfinalizer(writer.kill)
    while not log.exists() or log.stat().st_size < 1000:
        time.sleep(0.05)
    os.kill(writer.pid, signal.SIGSTOP)
    env_site.add_kek(2)
    env_site.write()
    env_site.call("kek_rotate", to_version=2)
    env_site.call("kek_remove", version=1, grace=0)
    acknowledged = len(log.read_text().splitlines())

    os.kill(writer.pid, signal.SIGCONT)
    refused_writes = log.with_name(log.name + ".unanswered")
    deadline = time.monotonic() + 30
    while len(refused_writes.read_text().splitlines()) < 3 and time.monotonic() < deadline:
        time.sleep(0.1)
    writer.kill()
    writer.wait(timeout=10)

    assert len(refused_writes.read_text().splitlines()) >= 3
    assert len(log.read_text().splitlines()) - acknowledged <= 1  # one may have been committed before it was stopped
    readable = [
        plaintext_of(env_site.keks[2], d["_id"], "encrypted_api_key", d["encrypted_api_key"])
        for d in env_site.db.dns_credentials.find()
    ]
    assert len(readable) == env_site.db.dns_credentials.count_documents({"kek_version": 2}) > 12


def test_the_key_in_the_hsm_is_destroyed_only_with_its_check_value_and_only_that_key(hsm_site, token):
    first = hsm_site.call("kek_pkcs11_init", version=1).values["key"]
    hsm_site.call("kek_pkcs11_init", version=2)
    hsm_site.call("kek_rotate", to_version=2)

    wrong = refused(hsm_site, destroy_key=True, check_value="000000")
    removed = hsm_site.call("kek_remove", version=1, grace=0)
    kept = len(token.keys())
    kept_state = hsm_site.db.kek_versions.find_one({"_id": 1})["state"]
    destroyed = hsm_site.call("kek_remove", version=1, grace=0, destroy_key=True, check_value=first["check_value"])
    again = hsm_site.call("kek_remove", version=1, grace=0, destroy_key=True, check_value=first["check_value"])

    assert wrong.code == "remove.fingerprint"
    assert (removed.values["removed"]["key_destroyed"], kept) == (False, 2)
    assert kept_state == "deactivated"
    assert (destroyed.before["state"], destroyed.before["key"]) == ("deactivated", "in the HSM")
    assert (destroyed.after["state"], destroyed.after["key"]) == ("destroyed", "none")
    assert hsm_site.db.kek_versions.find_one({"_id": 1})["state"] == "destroyed"
    assert destroyed.values["removed"]["key_destroyed"]
    assert not again.changed
    left = token.keys()
    assert [key["label"] for key in left] == ["certautopilot-kek-v2"]
    assert not hsm_site.call("kek_rotate", to_version=2).changed


def test_a_rotation_back_between_judgement_and_lease_stops_the_removal_before_the_fence(rotated, monkeypatch):
    real = kek_remove.leases.acquire

    def rotated_back_first(*arguments, **named):
        monkeypatch.undo()
        rotated.call("kek_rotate", to_version=1, allow_downgrade=True)
        return real(*arguments, **named)

    monkeypatch.setattr(kek_remove.leases, "acquire", rotated_back_first)

    with pytest.raises(OpsError) as refusal:
        rotated.call("kek_remove", version=1, grace=0)

    assert refusal.value.code == "remove.moved"
    rotated.db.dns_credentials.insert_one(credential(rotated.keks[1], b"the active version can still be written"))


def test_x4_a_removal_that_slept_past_its_lease_neither_fences_nor_marks(rotated, monkeypatch):
    monkeypatch.setattr(kek_remove, "LEASE_S", 1)
    real = kek_remove.require_out_of_use
    before = rotated.db.kek_versions.find_one({"_id": 1})
    asked = []

    def overtaken_meanwhile(*arguments, **named):
        real(*arguments, **named)
        asked.append(named)
        if len(asked) == 2:  # the second time is under the lease
            taken = {
                "$set": {"owner": "another", "expires_at": datetime.now(UTC) + timedelta(hours=1)},
                "$inc": {"token": 1},
            }
            rotated.db.locks.update_one({"_id": kek_remove.LEASE_NAME}, taken)
            time.sleep(1.2)

    monkeypatch.setattr(kek_remove, "require_out_of_use", overtaken_meanwhile)

    with pytest.raises(OpsError) as refusal:
        rotated.call("kek_remove", version=1, grace=0)

    assert refusal.value.code == "lease.lost"
    assert rotated.db.kek_versions.find_one({"_id": 1}) == before
    rotated.db.dns_credentials.insert_one(credential(rotated.keks[1], b"no fence stops this"))


def test_a_cancelled_rotation_does_not_block_removals_for_ever(rotated):
    rotated.db.kek_rotations.insert_one(
        {
            "_id": "to-3",
            "to_version": 3,
            "state": "cancelled",
            "updated_at": rotated.client.admin.command("hello")["localTime"],
        }
    )

    assert rotated.call("kek_remove", version=1, grace=0).changed


def test_x63_a_key_destroyed_by_a_run_that_died_before_it_could_say_so_is_destroyed_after_the_next(
    hsm_site, token, monkeypatch
):
    first = hsm_site.call("kek_pkcs11_init", version=1).values["key"]
    hsm_site.call("kek_pkcs11_init", version=2)
    hsm_site.call("kek_rotate", to_version=2)
    options = {"version": 1, "grace": 0, "destroy_key": True, "check_value": first["check_value"]}

    def dies(*_arguments, **_named):
        raise KeyboardInterrupt

    real = kek_remove.keystore.set_state
    monkeypatch.setattr(kek_remove.keystore, "set_state", dies)
    with pytest.raises(KeyboardInterrupt):
        hsm_site.call("kek_remove", **options)
    monkeypatch.setattr(kek_remove.keystore, "set_state", real)
    left, state = len(token.keys()), hsm_site.db.kek_versions.find_one({"_id": 1})["state"]
    finished = hsm_site.call("kek_remove", **options)

    assert (left, state) == (1, "deactivated")
    assert finished.changed
    assert (finished.before["state"], finished.after["state"]) == ("deactivated", "destroyed")
    journal = [entry["facts"] for entry in hsm_site.db.kek_journal.find({"verb": "kek_remove"})]
    assert journal[0] == {"version": 1, "begins": "destroy_key"}
    assert not hsm_site.call("kek_remove", **options).changed


def test_x63_a_key_that_this_token_does_not_hold_is_not_called_destroyed(hsm_site, token):
    first = hsm_site.call("kek_pkcs11_init", version=1).values["key"]
    hsm_site.call("kek_pkcs11_init", version=2)
    hsm_site.call("kek_rotate", to_version=2)
    hsm_site.call("kek_remove", version=1, grace=0)
    token.oracle("destroy", label=first["label"])  # as if this host had another token

    refusal = refused(hsm_site, destroy_key=True, check_value=first["check_value"])

    assert refusal.code == "remove.key_not_found"
    assert hsm_site.db.kek_versions.find_one({"_id": 1})["state"] == "deactivated"


def test_x51_making_the_key_of_a_removed_version_changes_nothing(hsm_site, token):
    first = hsm_site.call("kek_pkcs11_init", version=1).values["key"]
    hsm_site.call("kek_pkcs11_init", version=2)
    hsm_site.call("kek_rotate", to_version=2)
    hsm_site.call("kek_remove", version=1, grace=0, destroy_key=True, check_value=first["check_value"])

    again = hsm_site.call("kek_pkcs11_init", version=1)
    checked = hsm_site.call("kek_pkcs11_init", version=1, check=True)

    assert (again.changed, checked.changed) == (False, False)
    assert again.values["key"]["state"] == "destroyed"
    left = token.keys()
    assert [key["label"] for key in left] == ["certautopilot-kek-v2"]


def test_x63_a_key_of_release_0_1_that_was_called_destroyed_and_is_still_there_shows_in_the_diff(hsm_site, token):
    first = hsm_site.call("kek_pkcs11_init", version=1).values["key"]
    hsm_site.call("kek_pkcs11_init", version=2)
    hsm_site.call("kek_rotate", to_version=2)
    hsm_site.call("kek_remove", version=1, grace=0)
    hsm_site.db.kek_versions.update_one({"_id": 1}, {"$set": {"state": "destroyed"}, "$unset": {"removed_at": 1}})

    destroyed = hsm_site.call("kek_remove", version=1, grace=0, destroy_key=True, check_value=first["check_value"])

    assert destroyed.changed
    assert destroyed.before != destroyed.after
    assert len(token.keys()) == 1
