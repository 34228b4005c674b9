# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Bad input and bad databases: the code of the refusal, and a database that is as it was."""

from __future__ import annotations

import os

import pytest
from ansible_collections.certautopilot.ops.plugins.module_utils._domain.errors import OpsError
from bson import ObjectId

from tests.support.sealed import credential, envelope, plaintext_of

RECIPIENT = "age1ql3z7hjy54pw3hyww5ayyfg7zqgvc7w3j2elw8zmrj2kg5sfn9aqmcac8p"  # the example of age's README


def refused(site, verb, **options):
    before = site.documents()
    with pytest.raises(OpsError) as refusal:
        site.call(verb, **options)
    assert site.documents() == before
    assert refusal.value.hint
    return refusal.value


def export(site):
    return {"dest": str(site.folder / "bundle"), "recipients": (RECIPIENT,)}


def damage(site, **assign):
    victim = site.db.dns_credentials.find_one(sort=[("_id", -1)])
    site.db.dns_credentials.update_one({"_id": victim["_id"]}, {"$set": assign})
    return f"dns_credentials/{victim['_id']}.encrypted_api_key"


def test_t8_envelopes_without_a_lock_are_never_locked_over(new_site):
    site = new_site()
    site.db.dns_credentials.insert_one(credential(site.add_kek(1), b"old"))
    site.write()

    assert refused(site, "kek_install_lock").code == "lock.missing_with_envelopes"
    assert refused(site, "kek_rotate", to_version=2).code == "lock.missing"
    assert refused(site, "data_export", **export(site)).code == "lock.missing"


def test_adoption_locks_a_database_whose_every_envelope_opens(new_site):
    site = new_site()
    kek = site.add_kek(1)
    site.db.dns_credentials.insert_many([credential(kek, b"old") for _number in range(3)])
    site.write()

    predicted = site.call("kek_install_lock", adopt=True, check=True)
    result = site.call("kek_install_lock", adopt=True)
    again = site.call("kek_install_lock", adopt=True)

    assert predicted.changed
    assert result.changed
    assert not again.changed
    assert result.values["lock"]["provider"] == "env"
    assert site.db.kek_versions.find_one({"_id": "active"})["version"] == 1


@pytest.mark.parametrize("fault", ["one of another KEK", "one of another provider", "one malformed"])
def test_adoption_is_refused_when_one_envelope_does_not_prove_to_be_ours(new_site, fault):
    site = new_site()
    kek = site.add_kek(1)
    site.db.dns_credentials.insert_many([credential(kek, b"old") for _number in range(9)])
    odd = credential(os.urandom(32) if fault == "one of another KEK" else kek, b"odd")
    if fault == "one of another provider":
        odd["encrypted_api_key"]["provider"] = "pkcs11"
    if fault == "one malformed":
        del odd["encrypted_api_key"]["nonce"]
    site.db.dns_credentials.insert_one(odd)
    site.write()

    refusal = refused(site, "kek_install_lock", adopt=True)

    assert refusal.code == "lock.adoption_refused"
    assert [entry["place"] for entry in refusal.facts["failures"]] == [
        f"dns_credentials/{odd['_id']}.encrypted_api_key"
    ]


def test_the_wrong_kek_under_the_right_name_is_told_by_the_canary(env_site):
    env_site.add_kek(1)
    env_site.write()

    for verb, options in (("kek_rotate", {"to_version": 2}), ("data_export", export(env_site))):
        refusal = refused(env_site, verb, **options)
        assert refusal.code == "key.wrong"
        assert "check value" in refusal.message


def test_an_active_version_that_is_not_loaded_is_refused(env_site):
    env_site.keks = {2: os.urandom(32)}
    env_site.write()

    assert refused(env_site, "data_export", **export(env_site)).code == "key.not_loaded"


def test_a_lock_with_an_unknown_provider_is_refused_by_every_verb_but_info(env_site):
    env_site.db.kek_install.update_one({}, {"$set": {"provider": "vault"}})

    for verb, options in (
        ("kek_install_lock", {}),
        ("kek_rotate", {"to_version": 2}),
        ("data_export", export(env_site)),
        ("db_backup", {"dest": str(env_site.folder / "backup")}),
    ):
        assert refused(env_site, verb, **options).code == "lock.unknown_provider"
    assert env_site.call("kek_info").values["lock"]["provider"] == "vault"


def test_a_lock_of_the_other_provider_gives_the_vendors_text(env_site):
    env_site.db.kek_install.update_one({}, {"$set": {"provider": "pkcs11"}})
    since = env_site.call("kek_info").values["lock"]["installed_at"]

    refusal = refused(env_site, "kek_install_lock")

    assert refusal.message == (
        f'KEK provider mismatch: installed="pkcs11" (since {since}) but config says "env". '
        "Provider is immutable after install."
    )
    assert refused(env_site, "kek_rotate", to_version=2).message.startswith(
        "kek rotate cannot cross the provider boundary"
    )


def test_a_foreign_lock_that_knows_only_its_provider_is_read_leniently(env_site):
    env_site.db.kek_install.replace_one({}, {"provider": "env"})

    result = env_site.call("kek_install_lock")

    assert not result.changed
    assert result.values["lock"] == {
        "provider": "env",
        "installed_at": "unknown",
        "installed_by": None,
        "install_id": None,
    }


def test_t4_an_envelope_outside_the_catalogue_stops_rotation_export_and_backup_by_name(env_site):
    record_id = ObjectId()
    secret = envelope(env_site.keks[1], record_id, "secret", b"x")
    env_site.db.plugins.insert_one({"_id": record_id, "secret": secret})
    env_site.add_kek(2)
    env_site.write()

    for verb, options in (
        ("kek_rotate", {"to_version": 2}),
        ("data_export", export(env_site)),
        ("db_backup", {"dest": str(env_site.folder / "backup")}),
    ):
        refusal = refused(env_site, verb, **options)
        assert refusal.code == "catalogue.outside"
        assert f"plugins/{record_id}.secret" in refusal.message
    result = env_site.call("kek_rotate", overrides={"catalogue": {"plugins": ["secret"]}}, to_version=2)
    assert result.values["rotation"]["rewrapped"] == 13


@pytest.mark.parametrize("verb", ["kek_rotate", "data_export", "db_backup"])
@pytest.mark.parametrize(
    ("collection", "record"),
    [
        ("users", {"totp.encrypted_seed": None}),
        ("dns_credentials", {"by_zone": {"example.com": None}}),
    ],
    ids=["a dotted key", "a map by domain"],
)
def test_x17_an_envelope_below_a_key_with_a_dot_stops_everything_by_name_before_anything_is_written(
    env_site, verb, collection, record
):
    ((first, inner),) = record.items()
    field = ".".join([first, *(inner or ())])
    sealed = envelope(env_site.keks[1], "odd", field, b"x")
    env_site.db[collection].insert_one({"_id": "odd", first: {next(iter(inner)): sealed} if inner else sealed})
    env_site.add_kek(2)
    env_site.write()
    options = {
        "kek_rotate": {"to_version": 2},
        "data_export": export(env_site),
        "db_backup": {"dest": str(env_site.folder / "backup")},
    }

    refusal = refused(env_site, verb, **options[verb])

    assert (refusal.code, f"{collection}/odd.{first}" in refusal.message) == ("catalogue.outside", True)


@pytest.fixture
def nested(env_site):
    """An installation with an envelope in a foreign key of another; return (site, id of the record)."""
    record_id = ObjectId()
    outer = envelope(env_site.keks[1], record_id, "encrypted_api_key", b"new key")
    inner = envelope(env_site.keks[1], record_id, "encrypted_api_key.previous", b"old key")
    document = {"_id": record_id, "encrypted_api_key": {**outer, "previous": inner}, "kek_version": 1}
    env_site.db.dns_credentials.insert_one(document)
    env_site.add_kek(2)
    env_site.write()
    return env_site, record_id


def test_x16_an_envelope_inside_another_is_seen_and_moves_once_it_is_listed(nested):
    site, record_id = nested
    unlisted = refused(site, "kek_rotate", to_version=2)
    listed = {"catalogue": {"dns_credentials": ["encrypted_api_key.previous"]}}

    rotation = site.call("kek_rotate", overrides=listed, to_version=2).values["rotation"]
    arrived = site.db.dns_credentials.find_one({"_id": record_id})["encrypted_api_key"]

    assert (unlisted.code, f"{record_id}.encrypted_api_key.previous" in unlisted.message) == ("catalogue.outside", True)
    assert (rotation["state"], rotation["rewrapped"]) == ("complete", 14)
    assert plaintext_of(site.keks[2], record_id, "encrypted_api_key", arrived) == b"new key"
    assert plaintext_of(site.keks[2], record_id, "encrypted_api_key.previous", arrived["previous"]) == b"old key"


def test_x16_a_record_with_an_envelope_inside_another_is_not_exported_as_if_it_were_whole(nested):
    site, record_id = nested
    before = site.documents()

    with pytest.raises(OpsError) as refusal:
        site.call(
            "data_export", overrides={"catalogue": {"dns_credentials": ["encrypted_api_key.previous"]}}, **export(site)
        )

    assert (refusal.value.code, str(record_id) in refusal.value.message) == ("record.unreadable", True)
    assert site.documents() == before


@pytest.mark.parametrize(
    ("fault", "assign", "code"),
    [
        ("flipped byte in the wrap", {"encrypted_api_key.wrapped_dek": b"\1" * 60}, "envelope.unauthentic"),
        ("flipped byte in the payload", {"encrypted_api_key.ciphertext": b"\1" * 24}, "envelope.unauthentic"),
        ("foreign provider", {"encrypted_api_key.provider": "pkcs11"}, "envelope.foreign_provider"),
        ("version not loaded", {"encrypted_api_key.kek_version": 7, "encrypted_api_key.kv": 7, "kek_version": 7},
         "envelope.version_not_loaded"),
        ("tags disagree", {"encrypted_api_key.kv": 2}, "envelope.version_mismatch"),
        ("wrong type", {"encrypted_api_key.nonce": 5}, "envelope.malformed"),
        ("truncated wrap", {"encrypted_api_key.wrapped_dek": b"short"}, "envelope.malformed"),
        ("no envelope at all", {"encrypted_api_key": "in clear"}, "envelope.malformed"),
    ],
)  # fmt: skip
def test_an_export_is_refused_by_the_record_and_the_fault_and_leaves_no_bundle(env_site, fault, assign, code):
    place = damage(env_site, **assign)

    refusal = refused(env_site, "data_export", **export(env_site))

    assert refusal.code == "record.unreadable"
    assert [(entry["place"], entry["code"]) for entry in refusal.facts["failures"]] == [(place, code)]
    assert sorted(path.name for path in env_site.folder.iterdir()) == ["config.yaml", "secrets.env"]


def test_a_missing_field_of_an_envelope_is_named(env_site):
    victim = env_site.db.dns_credentials.find_one()
    env_site.db.dns_credentials.update_one({"_id": victim["_id"]}, {"$unset": {"encrypted_api_key.wrapped_dek": 1}})

    refusal = refused(env_site, "data_export", **export(env_site))

    assert "no wrapped_dek" in refusal.facts["failures"][0]["reason"]


def test_two_layouts_in_one_database_are_refused_with_what_was_tried(env_site):
    victim = env_site.db.dns_credentials.find_one()
    sealed = victim["encrypted_api_key"]
    hexed = {name: sealed[name].hex() for name in ("wrapped_dek", "nonce", "ciphertext")}
    env_site.db.dns_credentials.update_one(
        {"_id": victim["_id"]}, {"$set": {f"encrypted_api_key.{name}": text for name, text in hexed.items()}}
    )

    refusal = refused(env_site, "data_export", **export(env_site))

    assert refusal.code == "layout.undetected"
    assert "binary/iv-first/aad-record-field opened" in refusal.message


def test_an_unreachable_database_is_a_retryable_failure_without_the_password(new_site, monkeypatch):
    from ansible_collections.certautopilot.ops.plugins.module_utils._store import opening

    monkeypatch.setattr(opening, "SERVER_SELECTION_TIMEOUT_MS", 300)
    site = new_site()
    site.add_kek(1)
    site.uri = "mongodb://operator:hunter2secret@127.0.0.1:9/x"
    site.write()

    with pytest.raises(OpsError) as failure:
        site.call("kek_install_lock")

    assert (failure.value.code, failure.value.retryable) == ("database.unreachable", True)
    assert "hunter2secret" not in str(failure.value.as_result())
    assert "127.0.0.1:9" in failure.value.message


def test_a_uri_that_cannot_be_parsed_is_not_repeated(new_site):
    site = new_site()
    site.add_kek(1)
    site.uri = "mongodb://operator:p@ss:w@rd@host/x"
    site.write()

    with pytest.raises(OpsError) as failure:
        site.call("kek_install_lock")

    assert failure.value.code == "database.uri_invalid"
    assert "w@rd" not in str(failure.value.as_result())


def test_t18_envelopes_newer_than_the_keystore_are_an_anomaly(env_site):
    damage(env_site, **{"kek_version": 9, "encrypted_api_key.kek_version": 9, "encrypted_api_key.kv": 9})

    envelopes = env_site.call("kek_info").values["envelopes"]

    assert [anomaly["code"] for anomaly in envelopes["anomalies"]] == ["envelope.unknown_version"]
