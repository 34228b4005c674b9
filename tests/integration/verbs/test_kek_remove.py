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

import pymongo
import pytest
from ansible_collections.certautopilot.ops.plugins.module_utils._domain.errors import OpsError
from ansible_collections.certautopilot.ops.plugins.module_utils._verbs import kek_remove
from bson import ObjectId

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
    assert rotated.db.kek_versions.find_one({"_id": 1})["state"] == "destroyed"


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
        (lambda s: None, {"destroy_key": True, "fingerprint": "abcdef"}, "remove.no_key_to_destroy"),
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

    wrong = refused(hsm_site, destroy_key=True, fingerprint="000000")
    removed = hsm_site.call("kek_remove", version=1, grace=0)
    kept = len(token.keys())
    destroyed = hsm_site.call("kek_remove", version=1, grace=0, destroy_key=True, fingerprint=first["check_value"])
    again = hsm_site.call("kek_remove", version=1, grace=0, destroy_key=True, fingerprint=first["check_value"])

    assert wrong.code == "remove.fingerprint"
    assert (removed.values["removed"]["key_destroyed"], kept) == (False, 2)
    assert destroyed.values["removed"]["key_destroyed"]
    assert not again.changed
    left = token.keys()
    assert [key["label"] for key in left] == ["certautopilot-kek-v2"]
    assert not hsm_site.call("kek_rotate", to_version=2).changed


def test_a_rotation_back_between_judgement_and_lease_stops_the_removal_before_the_fence(rotated, monkeypatch):
    real = kek_remove.leases.holding

    def rotated_back_first(*arguments, **named):
        monkeypatch.undo()
        rotated.call("kek_rotate", to_version=1, allow_downgrade=True)
        return real(*arguments, **named)

    monkeypatch.setattr(kek_remove.leases, "holding", rotated_back_first)

    with pytest.raises(OpsError) as refusal:
        rotated.call("kek_remove", version=1, grace=0)

    assert refusal.value.code == "remove.moved"
    rotated.db.dns_credentials.insert_one(credential(rotated.keks[1], b"the active version can still be written"))


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
