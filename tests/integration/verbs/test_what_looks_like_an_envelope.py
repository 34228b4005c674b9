# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Records that only look like envelopes: an operator can say so, nothing of them is touched, and it is noted (X18)."""

from __future__ import annotations

import pytest
from ansible_collections.certautopilot.ops.plugins.module_utils._domain.errors import OpsError
from bson.raw_bson import RawBSONDocument

from tests.support.age_keys import public_of
from tests.support.sealed import envelope

RECORDS = [
    {"_id": "challenge", "token": {"nonce": 17, "provider": "route53", "kv": "x"}},
    {"_id": "jwe", "sessions": [{"wrapped_dek": "eyJ", "nonce": "48V1", "ciphertext": "5eym", "tag": "XFBo"}]},
]
DECLARED = {"catalogue": {"logins": ["!token", "!sessions.*"]}}


@pytest.fixture
def site(env_site):
    env_site.db.logins.insert_many(RECORDS)
    env_site.add_kek(2)
    env_site.write()
    return env_site


def raw(site):
    collection = site.db.get_collection(
        "logins", codec_options=site.db.codec_options.with_options(document_class=RawBSONDocument)
    )
    return [bytes(document.raw) for document in collection.find(sort=[("_id", 1)])]


@pytest.mark.parametrize(
    ("verb", "options"), [("kek_rotate", {"to_version": 2}), ("db_backup", {}), ("data_export", {})]
)
def test_x18_it_stops_every_verb_and_the_hint_says_how_to_declare_it(site, identity, verb, options):
    if verb != "kek_rotate":
        options = {"dest": str(site.folder / verb)}
    if verb == "data_export":
        options["recipients"] = (public_of(identity),)

    with pytest.raises(OpsError) as refusal:
        site.call(verb, **options)

    assert refusal.value.code in ("catalogue.outside", "record.unreadable")
    assert "logins/" in refusal.value.message
    if refusal.value.code == "catalogue.outside":
        assert "'!field.path'" in refusal.value.hint


def test_x18_a_rotation_and_a_removal_pass_over_what_is_declared_and_note_it(site):
    before = raw(site)

    rotation = site.call("kek_rotate", to_version=2, overrides=DECLARED).values["rotation"]
    site.call("kek_remove", version=1, grace=0, overrides=DECLARED)

    assert (rotation["state"], rotation["rewrapped"]) == ("complete", 12)
    assert raw(site) == before
    noted = {entry["verb"]: entry["facts"].get("no_envelopes") for entry in site.db.kek_journal.find()}
    assert noted["kek_rotate"] == noted["kek_remove"] == ["logins.sessions.*", "logins.token"]


def test_x18_a_migration_carries_what_is_declared_as_it_is(site, empty_env_site, identity):
    public = public_of(identity)
    dest = str(site.folder / "bundle")
    site.call("db_backup", dest=str(site.folder / "backup"), overrides=DECLARED)

    site.call("data_export", dest=dest, recipients=(public,), overrides=DECLARED)
    again = site.call("data_export", dest=dest, recipients=(public,), overrides=DECLARED)
    imported = empty_env_site.call("data_import", src=dest, identity_file=str(identity))

    assert not again.changed
    assert imported.values["manifest"]["equal"] == imported.values["manifest"]["records"]
    assert raw(empty_env_site) == raw(site)


def test_x18_a_whole_envelope_is_one_whatever_is_declared(site):
    sealed = envelope(site.keks[1], "real", "token", b"a secret all the same")
    site.db.logins.insert_one({"_id": "real", "token": sealed})

    with pytest.raises(OpsError) as refusal:
        site.call("kek_rotate", to_version=2, overrides=DECLARED)

    assert refusal.value.code == "catalogue.outside"
    assert "logins/real.token" in refusal.value.message
    assert site.db.kek_versions.find_one({"_id": "active"})["version"] == 1


@pytest.mark.parametrize(
    "catalogue",
    [
        {"dns_credentials": ["!encrypted_api_key"]},
        {"logins": ["token", "!token"]},
        {"logins": ["!"]},
    ],
)
def test_x18_neither_a_sealed_field_nor_nothing_can_be_declared_away(site, catalogue):
    with pytest.raises(OpsError) as refusal:
        site.call("kek_rotate", to_version=2, overrides={"catalogue": catalogue})

    assert refusal.value.code == "settings.catalogue"
