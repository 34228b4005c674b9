# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Only keys that are in use must be there, and "ok" is said of what was proven on this host (X53, X64, X65)."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest
from ansible_collections.certautopilot.ops.plugins.module_utils._domain.errors import OpsError

from tests.support import hsm_shim
from tests.support.sealed import credential

DYING = Path(__file__).parents[1] / "processes" / "dying.py"


@pytest.fixture
def rotated(hsm_site, token):
    """Records under version 2; version 1 is deactivated, its key in the token, and nothing needs it."""
    hsm_site.call("kek_pkcs11_init", version=1)
    hsm_site.call("kek_pkcs11_init", version=2)
    hsm_site.call("kek_rotate", to_version=2)
    return hsm_site


def code_of(site, verb, **options):
    try:
        site.call(verb, **options)
    except OpsError as refusal:
        return refusal.code
    return ""


def test_x53_a_key_that_nothing_needs_may_be_missing(rotated, token, tmp_path):
    token.oracle("destroy", label="certautopilot-kek-v1")

    codes = {
        verb: code_of(rotated, verb, **options)
        for verb, options in {
            "kek_verify": {"allow_empty_fleet": True},
            "db_backup": {"dest": str(tmp_path / "backup")},
            "kek_pkcs11_init": {"version": 3},
            "kek_rotate": {"to_version": 3},
            "kek_remove": {"version": 1, "grace": 0},
        }.items()
    }

    assert set(codes.values()) == {""}, codes


def test_x53_a_key_that_an_envelope_needs_must_be_there_and_the_refusal_says_which_version(
    hsm_site, env_site, token, tmp_path
):
    hsm_site.call("kek_pkcs11_init", version=1)
    hsm_site.call("kek_pkcs11_init", version=2)
    hsm_site.call("kek_rotate", to_version=2)
    left_behind = {**credential(env_site.keks[1], b"sealed under version 1"), "kek_version": 1}
    hsm_site.db.dns_credentials.insert_one(left_behind)
    token.oracle("destroy", label="certautopilot-kek-v1")
    before = hsm_site.documents()

    with pytest.raises(OpsError) as refusal:
        hsm_site.call("db_backup", dest=str(tmp_path / "backup"))

    assert refusal.value.code == "pkcs11.key_not_found"
    assert "the database needs KEK version 1" in refusal.value.message
    assert hsm_site.documents() == before


def test_x64_verify_says_ready_of_no_version_that_was_removed_or_is_not_loaded_here(rotated):
    rotated.call("kek_remove", version=1, grace=0)

    codes = [code_of(rotated, "kek_verify", target=target, allow_empty_fleet=True) for target in (1, 2, 3)]

    assert codes == ["key.removed", "", "key.not_loaded"]


@pytest.mark.parametrize("check", [True, False])
def test_x64_the_lock_is_called_ok_only_on_a_host_whose_kek_opens_the_canary(env_site, check):
    env_site.keks[1] = os.urandom(32)
    env_site.write()
    before = env_site.documents()

    with pytest.raises(OpsError) as refusal:
        env_site.call("kek_install_lock", check=check)

    assert refusal.value.code == "key.wrong"
    assert env_site.documents() == before


@pytest.fixture
def silent(hsm_site, token, tmp_path_factory, monkeypatch):
    """An installation whose token shows no check value, as openCryptoki and NSS do; version 1 is out of use."""
    if hsm_shim.compiler() is None:
        pytest.skip(hsm_shim.NO_COMPILER)
    for name, value in hsm_shim.environment(no_check_value=1).items():
        monkeypatch.setenv(name, value)
    hsm_site.pkcs11 = token.settings(module_path=hsm_shim.build(tmp_path_factory.mktemp("shim")))
    hsm_site.write()
    hsm_site.call("kek_pkcs11_init", version=1)
    hsm_site.call("kek_pkcs11_init", version=2)
    hsm_site.call("kek_rotate", to_version=2)
    return hsm_site


@pytest.mark.parametrize("recorded", [True, False], ids=["tag in the row", "row of an older release"])
def test_x55_where_the_token_shows_no_check_value_the_canarys_tag_tells_the_key_that_is_destroyed(
    silent, token, recorded
):
    key = silent.call("kek_info").values["versions"][0]["key"]
    if not recorded:
        silent.db.kek_versions.update_one({"_id": 1}, {"$unset": {"key.canary_tag": 1}})
    options = {"version": 1, "grace": 0, "destroy_key": True}

    with pytest.raises(OpsError) as refused:
        silent.call("kek_remove", **options, check_value="0" * 16)
    kept = len(token.keys())
    done = silent.call("kek_remove", **options, check_value=key["canary_tag"])
    again = silent.call("kek_remove", **options, check_value=key["canary_tag"])

    assert (key["check_value"], len(key["canary_tag"]), kept) == (None, 16, 2)
    assert refused.value.code == "remove.fingerprint"
    assert "canary tag" in refused.value.message
    assert (key["canary_tag"] in refused.value.message) is not recorded
    assert done.values["removed"]["key_destroyed"]
    assert not again.changed
    keys = token.keys()
    assert [key["label"] for key in keys] == ["certautopilot-kek-v2"]


def test_x55_another_key_under_the_same_names_is_not_destroyed_by_that_tag(silent, token):
    key = silent.call("kek_info").values["versions"][0]["key"]
    token.oracle("destroy", label=key["label"])
    token.oracle("make", label=key["label"], id=key["id"], value=os.urandom(32).hex())

    code = code_of(silent, "kek_remove", version=1, grace=0, destroy_key=True, check_value=key["canary_tag"])

    assert code == "key.wrong"
    assert len(token.keys()) == 2


@pytest.mark.parametrize("at", ["before", "after"])
def test_x65_killed_as_the_key_is_destroyed_the_journal_says_so_and_the_next_run_ends_it_as_a_change(
    rotated, token, at
):
    options = {
        "version": 1,
        "grace": 0,
        "destroy_key": True,
        "check_value": rotated.db.kek_versions.find_one({"_id": 1})["key"]["check_value"],
    }
    order = {
        "params": {"config_file": str(rotated.config_file), "secrets_file": str(rotated.secrets_file)},
        "verb": "kek_remove",
        "options": options,
        "fail_point": "destroy_hsm_key",
        "at": at,
        "constants": {"LEASE_S": 1},
    }
    died = subprocess.run(
        [sys.executable, str(DYING)], input=json.dumps(order), text=True, capture_output=True, check=False
    )
    assert died.returncode == -9, died.stderr
    noted = [entry["facts"] for entry in rotated.db.kek_journal.find({"verb": "kek_remove"})]
    rotated.db.locks.update_one({"_id": "kek-rotate"}, {"$set": {"expires_at": datetime(2026, 1, 1, tzinfo=UTC)}})

    finished = rotated.call("kek_remove", **options)

    assert noted == [{"version": 1, "begins": "destroy_key"}]
    assert finished.changed
    assert finished.after["state"] == rotated.db.kek_versions.find_one({"_id": 1})["state"] == "destroyed"
    keys = token.keys()
    assert [key["label"] for key in keys] == ["certautopilot-kek-v2"]
    ended = [entry["facts"] for entry in rotated.db.kek_journal.find({"verb": "kek_remove"})][-1]
    assert ended["state"] == "destroyed"
