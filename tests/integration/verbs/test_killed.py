# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Rotation, import and export killed (SIGKILL) before and after each of their moments: run again, they end the same."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pyrage
import pytest
from ansible_collections.certautopilot.ops.plugins.module_utils._verbs import data_import, kek_rotate

from tests.support.sealed import plaintext_of

DYING = Path(__file__).parents[1] / "processes" / "dying.py"
WHEN = pytest.mark.parametrize("at", ["before", "after"])
SECRETS = sorted(f"secret {n}".encode() for n in range(12))


def die(site, verb, options, moment, at):
    """Run the verb in a process that kills itself at that moment; it must really have died there."""
    order = {
        "params": {"config_file": str(site.config_file), "secrets_file": str(site.secrets_file)},
        "verb": verb, "options": options, "fail_point": moment, "at": at,
        "constants": {"LEASE_S": 1},
    }  # fmt: skip
    line = [sys.executable, str(DYING)]
    died = subprocess.run(line, input=json.dumps(order), text=True, capture_output=True, check=False)
    assert died.returncode == -9, died.stderr


@pytest.fixture(autouse=True)
def short_leases(monkeypatch):
    monkeypatch.setattr(kek_rotate, "LEASE_S", 1)
    monkeypatch.setattr(data_import, "LEASE_S", 1)


@pytest.fixture
def bundle(env_site, tmp_path):
    identity = pyrage.x25519.Identity.generate()
    path = tmp_path / "identity"
    path.touch(mode=0o600)
    path.write_text(f"{identity}\n")
    export = {"dest": str(tmp_path / "bundle"), "recipients": [str(identity.to_public())]}
    return export, {"src": export["dest"], "identity_file": str(path), "trust": "bundle"}


def opened(site, version):
    return sorted(
        plaintext_of(site.keks[version], d["_id"], "encrypted_api_key", d["encrypted_api_key"])
        for d in site.db.dns_credentials.find()
    )


@WHEN
@pytest.mark.parametrize(
    "moment",
    [
        "insert_keystore_row",
        "write_rotation_record",
        "write_batch",
        "swap_active",
        "repair_row_states",
        "append_journal",
    ],
)
def test_t10_a_rotation_killed_anywhere_ends_the_same(env_site, moment, at):
    env_site.add_kek(2)
    env_site.write()
    die(env_site, "kek_rotate", {"to_version": 2, "batch_size": 5, "allow_empty_fleet": True}, moment, at)
    half_way = env_site.db.kek_versions.find_one({"_id": "active"})["version"]
    readable = sorted(
        plaintext_of(env_site.keks[d["kek_version"]], d["_id"], "encrypted_api_key", d["encrypted_api_key"])
        for d in env_site.db.dns_credentials.find()
    )

    env_site.call("kek_rotate", to_version=2, batch_size=5)
    again = env_site.call("kek_rotate", to_version=2)

    assert half_way in (1, 2)
    assert readable == SECRETS
    assert opened(env_site, 2) == SECRETS
    assert not again.changed
    assert env_site.call("kek_info").values["rotation"]["state"] == "complete"
    states = {row["_id"]: row["state"] for row in env_site.db.kek_versions.find({"state": {"$exists": True}})}
    assert states == {1: "deactivated", 2: "active"}


@WHEN
@pytest.mark.parametrize("moment", ["begin_import", "insert_records", "advance_import"])
def test_t10_an_import_killed_anywhere_ends_the_same(env_site, empty_env_site, bundle, moment, at):
    export, load = bundle
    env_site.call("data_export", **{**export, "recipients": tuple(export["recipients"])})
    die(empty_env_site, "data_import", load, moment, at)

    done = empty_env_site.call("data_import", **load)
    again = empty_env_site.call("data_import", **load)

    assert (done.values["manifest"]["equal"], done.values["manifest"]["records"]) == (17, 17)
    assert not again.changed
    assert opened(empty_env_site, 1) == SECRETS
    assert empty_env_site.call("kek_info").values["migration"]["state"] == "proven"


@WHEN
@pytest.mark.parametrize("moment", ["lower_metadata", "make_metadata"])
def test_x14_a_second_pass_killed_around_the_indexes_ends_the_same(env_site, empty_env_site, bundle, moment, at):
    export, load = bundle
    export = {**export, "recipients": tuple(export["recipients"])}
    env_site.db.zones.create_index("apex", name="apex", unique=True)
    env_site.call("data_export", **export)
    empty_env_site.call("data_import", **load)
    env_site.db.zones.delete_one({"_id": 4})
    env_site.db.zones.insert_one({"_id": -4, "apex": "4.example"})
    env_site.call("data_export", **export)
    die(empty_env_site, "data_import", load, moment, at)

    empty_env_site.call("data_import", **load)
    again = empty_env_site.call("data_import", **load)

    assert not again.changed
    assert empty_env_site.db.zones.index_information()["apex"]["unique"]
    assert list(empty_env_site.db.zones.find(sort=[("_id", 1)])) == list(env_site.db.zones.find(sort=[("_id", 1)]))
    assert empty_env_site.db.kek_imports.find_one()["state"] == "proven"


@WHEN
@pytest.mark.parametrize("moment", ["write_bundle", "write_private_file", "put_bundle_in_place"])
def test_t9_an_export_killed_anywhere_leaves_no_bundle_that_is_half_true(env_site, empty_env_site, bundle, moment, at):
    export, load = bundle
    die(env_site, "data_export", export, moment, at)
    standing = (Path(export["dest"]) / "manifest.json").exists()

    done = env_site.call("data_export", **{**export, "recipients": tuple(export["recipients"])})
    loaded = empty_env_site.call("data_import", **load)

    assert standing == (moment == "put_bundle_in_place" and at == "after")
    assert done.changed != standing
    assert loaded.values["manifest"]["equal"] == 17


def test_the_journal_chains_what_was_done(env_site):
    env_site.add_kek(2)
    env_site.write()
    env_site.call("kek_rotate", to_version=2)
    from ansible_collections.certautopilot.ops.plugins.module_utils._store import journal

    entries = list(env_site.db.kek_journal.find(sort=[("_id", 1)]))

    assert [entry["verb"] for entry in entries] == ["kek_install_lock", "kek_rotate"]
    assert entries[1]["previous"] == entries[0]["hash"]
    assert all(journal.entry_hash(entry) == entry["hash"] for entry in entries)
    assert journal.entry_hash({**entries[0], "facts": {"provider": "pkcs11"}}) != entries[0]["hash"]
