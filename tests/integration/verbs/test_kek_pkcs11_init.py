# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""kek_pkcs11_init on SoftHSM2: one key, one row, one lock, whatever happens on the way; PyKCS11 is the oracle."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from ansible_collections.certautopilot.ops.plugins.module_utils._domain.errors import OpsError
from ansible_collections.certautopilot.ops.plugins.module_utils._keys.pkcs11.provider import Pkcs11Provider
from ansible_collections.certautopilot.ops.plugins.module_utils._verbs import kek_pkcs11_init

from tests.support.sealed import credential

DYING = Path(__file__).parents[1] / "processes" / "dying.py"
MOMENTS = (
    "take_lease",
    "note_key_intent",
    "generate_hsm_key",
    "load_hsm_key",
    "make_canary",
    "insert_install_lock",
    "insert_keystore_row",
    "make_first_version_active",
    "repair_row_states",
    "append_journal",
    "drop_key_intent",
    "release_lease",
)


def refused(site, **options):
    before = site.documents()
    with pytest.raises(OpsError) as refusal:
        site.call("kek_pkcs11_init", **{"version": 1, **options})
    assert site.documents() == before
    return refusal.value


def test_a_fresh_database_gets_one_key_one_row_and_one_lock(hsm_site, token):
    result = hsm_site.call("kek_pkcs11_init", version=1)

    (key,) = token.keys()
    lock = hsm_site.db.kek_install.find_one()
    row = hsm_site.db.kek_versions.find_one({"_id": 1})
    assert (key["label"], key["bits"], key["sensitive"], key["extractable"], key["never_extractable"]) == (
        "certautopilot-kek-v1", 256, True, False, True,
    )  # fmt: skip
    assert (key["encrypt"], key["decrypt"], key["wrap"], key["private"], key["local"]) == (
        True,
        True,
        False,
        True,
        True,
    )
    assert key["id"] == lock["install_id"] + "00000001" == row["key"]["id"]
    assert (lock["provider"], lock["installed_by"]) == ("pkcs11", "pkcs11-init")
    assert (row["provider"], row["state"], row["canary"]["provider"]) == ("pkcs11", "active", "pkcs11")
    assert hsm_site.db.kek_versions.count_documents({}) == 2
    assert result.values["key"]["check_value"] == row["key"]["check_value"]


def test_check_mode_predicts_and_writes_nothing_into_database_or_token(hsm_site, token):
    before = hsm_site.documents()

    predicted = hsm_site.call("kek_pkcs11_init", check=True, version=1)

    assert predicted.changed
    assert predicted.values["key"]["state"] == "active"
    assert token.keys() == []
    assert hsm_site.documents() == before
    assert hsm_site.client[hsm_site.name].list_collection_names() == []


def test_a_second_run_changes_nothing(hsm_site, token):
    first = hsm_site.call("kek_pkcs11_init", version=1)
    before = hsm_site.documents()

    second = hsm_site.call("kek_pkcs11_init", version=1)

    assert not second.changed
    assert second.values["key"] == first.values["key"]
    assert hsm_site.documents() == before
    assert len(token.keys()) == 1


@pytest.mark.parametrize("at", ["before", "after"])
@pytest.mark.parametrize("moment", MOMENTS)
def test_t10_killed_at_any_step_it_ends_with_one_key_one_row_and_one_lock(hsm_site, token, monkeypatch, moment, at):
    order = {
        "params": {"config_file": str(hsm_site.config_file), "secrets_file": str(hsm_site.secrets_file)},
        "verb": "kek_pkcs11_init",
        "options": {"version": 1},
        "fail_point": moment,
        "at": at,
        "constants": {"LEASE_S": 1},
    }
    died = subprocess.run(
        [sys.executable, str(DYING)], input=json.dumps(order), text=True, capture_output=True, check=False
    )
    assert died.returncode == -9, died.stderr
    monkeypatch.setattr(kek_pkcs11_init, "LEASE_S", 1)

    hsm_site.call("kek_pkcs11_init", version=1)
    again = hsm_site.call("kek_pkcs11_init", version=1)

    assert not again.changed
    assert len(token.keys()) == 1
    assert hsm_site.db.kek_install.count_documents({}) == 1
    assert sorted(map(str, hsm_site.db.kek_versions.distinct("_id"))) == ["1", "active"]
    assert token.keys()[0]["id"] == hsm_site.db.kek_install.find_one()["install_id"] + "00000001"


def test_on_an_env_lock_it_gives_the_vendors_text_and_never_loads_the_pkcs11_library(env_site, token, monkeypatch):
    monkeypatch.setattr(Pkcs11Provider, "open", lambda _self: pytest.fail("the PKCS#11 library was loaded"))
    since = env_site.call("kek_info").values["lock"]["installed_at"]
    env_site.provider, env_site.pkcs11 = "pkcs11", token.settings()
    env_site.write()

    refusal = refused(env_site)

    assert refusal.message == (
        f'refusing to run: this database is locked for provider="env" (since {since} by service). '
        'pkcs11-init cannot run against a "env"-locked installation.'
    )


def test_on_an_env_lock_a_library_that_kills_its_process_is_not_even_opened(env_site, token, tmp_path):
    env_site.provider, env_site.pkcs11 = "pkcs11", token.settings(module_path=str(tmp_path / "no-such-library.so"))
    env_site.write()

    assert refused(env_site).code == "lock.init_refused"


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"module_path": "/nonexistent/libvendor.so"}, "pkcs11.module_not_found"),
        ({"module_path": "libsofthsm2.so"}, "settings.module_path"),
        ({"token_label": "another"}, "pkcs11.token_not_found"),
    ],
)
def test_a_token_that_cannot_be_used_is_refused_and_nothing_is_written(hsm_site, token, change, code):
    hsm_site.pkcs11 = token.settings(**change)
    hsm_site.write()

    refusal = refused(hsm_site)

    assert refusal.code == code
    assert token.keys() == []


def test_a_wrong_pin_is_refused_and_nothing_is_written_but_a_note_that_does_not_hold_it(hsm_site, token):
    hsm_site.pkcs11 = token.settings(pin="wrong-pin-000")
    hsm_site.write()

    with pytest.raises(OpsError) as refusal:
        hsm_site.call("kek_pkcs11_init", version=1)

    assert refusal.value.code == "pkcs11.pin_incorrect"
    assert hsm_site.documents().keys() == {"kek_pin_refusals"}
    assert "wrong-pin-000" not in f"{refusal.value.as_result()} {hsm_site.documents()}"
    assert token.keys() == []


def test_two_tokens_with_one_label_are_refused(hsm_site, token):
    token.oracle("init")

    assert refused(hsm_site).code == "pkcs11.token_ambiguous"


def test_t24_a_key_with_our_label_that_is_not_ours_is_never_taken(hsm_site, token):
    token.oracle("make", label="certautopilot-kek-v1", id="aa" * 20)

    refusal = refused(hsm_site)

    assert refusal.code == "init.key_in_the_way"
    assert len(token.keys()) == 1


def test_t24_two_keys_with_one_label_are_refused_at_start(hsm_site, token):
    made = hsm_site.call("kek_pkcs11_init", version=1).values["key"]
    token.oracle("make", label=made["label"], id=made["id"])

    assert refused(hsm_site).code == "pkcs11.key_ambiguous"


def test_t23_the_right_label_and_id_over_other_bytes_are_the_wrong_key(hsm_site, token):
    made = hsm_site.call("kek_pkcs11_init", version=1).values["key"]
    token.oracle("destroy", label=made["label"])
    token.oracle("make", label=made["label"], id=made["id"])

    refusal = refused(hsm_site)

    assert refusal.code in ("pkcs11.wrong_key", "key.wrong")
    assert made["check_value"] in refusal.message
    assert len(token.keys()) == 1


def test_t8_a_key_that_is_gone_is_never_made_anew(hsm_site, token):
    made = hsm_site.call("kek_pkcs11_init", version=1).values["key"]
    token.oracle("destroy", label=made["label"])

    assert refused(hsm_site).code == "pkcs11.key_not_found"
    assert token.keys() == []


def test_t8_a_version_that_envelopes_name_never_gets_a_new_key(hsm_site, token):
    hsm_site.call("kek_pkcs11_init", version=1)
    hsm_site.db.dns_credentials.insert_one(credential(b"k" * 32, b"x", version=2))

    assert refused(hsm_site, version=2).code == "init.version_in_use"
    assert len(token.keys()) == 1


def test_t8_envelopes_without_a_lock_stop_it(hsm_site, token):
    hsm_site.db.dns_credentials.insert_one(credential(b"k" * 32, b"x"))

    assert refused(hsm_site).code == "lock.missing_with_envelopes"
    assert token.keys() == []


def test_a_keystore_without_a_lock_stops_it(hsm_site, token):
    hsm_site.db.kek_versions.insert_one({"_id": 1, "provider": "pkcs11"})

    assert refused(hsm_site).code == "lock.missing_with_keystore"


@pytest.mark.parametrize(("version", "code"), [(0, "init.version"), (3, "init.version_gap")])
def test_a_version_out_of_turn_is_refused(hsm_site, token, version, code):
    hsm_site.call("kek_pkcs11_init", version=1)

    assert refused(hsm_site, version=version).code == code


def test_a_second_version_is_made_beside_the_first_and_waits_for_a_rotation(hsm_site, token):
    hsm_site.call("kek_pkcs11_init", version=1)

    result = hsm_site.call("kek_pkcs11_init", version=2)
    rotated = hsm_site.call("kek_rotate", to_version=2)

    assert result.values["key"]["state"] == "pre-activation"
    assert len(token.keys()) == 2
    assert rotated.after["active"] == 2
    states = {row["_id"]: row["state"] for row in hsm_site.db.kek_versions.find({"state": {"$exists": True}})}
    assert states == {1: "deactivated", 2: "active"}


def test_a_loser_of_the_race_for_the_lock_leaves_no_row(hsm_site, token, monkeypatch):
    from ansible_collections.certautopilot.ops.plugins.module_utils._store import install_lock

    real = kek_pkcs11_init.make_canary

    def an_env_service_starts_meanwhile(provider, version):
        hsm_site.db.kek_install.insert_one({"_id": install_lock.LOCK_ID, "provider": "env"})
        return real(provider, version)

    monkeypatch.setattr(kek_pkcs11_init, "make_canary", an_env_service_starts_meanwhile)

    with pytest.raises(OpsError) as refusal:
        hsm_site.call("kek_pkcs11_init", version=1)

    assert refusal.value.code == "lock.init_refused"
    assert hsm_site.db.kek_versions.count_documents({"_id": {"$in": [1, "active"]}}) == 0
    assert token.keys()[0]["id"] in refusal.value.hint
