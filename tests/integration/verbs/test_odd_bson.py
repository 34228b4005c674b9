# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Odd BSON that MongoDB stores: it is in nobody's way unless it has to be decoded, and never changes without a word."""

from __future__ import annotations

from contextlib import contextmanager
from urllib.parse import urlsplit

import bson
import pymongo
import pytest
from ansible_collections.certautopilot.ops.plugins.module_utils._domain.errors import OpsError
from ansible_collections.certautopilot.ops.plugins.module_utils._domain.secret import Secret
from ansible_collections.certautopilot.ops.plugins.module_utils._rotation import leader
from ansible_collections.certautopilot.ops.plugins.module_utils._store import records
from ansible_collections.certautopilot.ops.plugins.module_utils._store.connection import open_store
from bson.raw_bson import RawBSONDocument

from tests.support.age_keys import public_of
from tests.support.rewriting_proxy import rewriting_proxy
from tests.support.sealed import credential, envelope, plaintext_of

STORED, BAD = b"na@ve", b"na\xefve"  # Latin-1


@pytest.fixture
def site(env_site):
    """An installation whose verbs see each STORED as BAD: the test server would not store that."""
    env_site.add_kek(2)
    with seen_through_a_proxy(env_site, STORED, BAD):
        yield env_site


@pytest.fixture
def plain(site):
    """An installation with a bad text in a record without envelopes."""
    site.db.zones.insert_one({"_id": "bad zone", "comment": STORED.decode()})
    return site


@pytest.fixture
def sealed(site):
    """An installation with a bad text beside an envelope."""
    record = credential(site.keks[1], b"behind a bad text")
    site.db.dns_credentials.insert_one({**record, "comment": STORED.decode()})
    return site, f"dns_credentials/{record['_id']}"


@contextmanager
def seen_through_a_proxy(site, stored, shown):
    """Yield the installation with an address where `stored` is seen as `shown`, and written as `stored` again."""
    with rewriting_proxy(urlsplit(site.uri).port, stored, shown) as port:
        site.uri = f"mongodb://127.0.0.1:{port}/?directConnection=true"
        site.write()
        yield site


def record_at(site, collection, record_id):
    """Return a record's BSON as a client of this installation sees it."""
    with pymongo.MongoClient(site.uri, document_class=RawBSONDocument) as client:
        return bytes(client[site.name][collection].find_one({"_id": record_id}).raw)


def failure_of(site, verb, **options):
    with pytest.raises(OpsError) as failure:
        site.call(verb, **options)
    return failure.value


def export(site):
    recipient = "age1ql3z7hjy54pw3hyww5ayyfg7zqgvc7w3j2elw8zmrj2kg5sfn9aqmcac8p"  # the example of age's README
    return {"dest": str(site.folder / "bundle"), "recipients": (recipient,)}


def test_x11_a_plain_record_that_cannot_be_decoded_is_in_the_way_of_no_rotation_and_no_backup(plain):
    info = plain.call("kek_info", digest=True).values
    backup = plain.call("db_backup", dest=str(plain.folder / "backup")).values["manifest"]
    rotation = plain.call("kek_rotate", to_version=2).values["rotation"]

    assert (info["database"]["collections"]["zones"], info["envelopes"]["anomalies"]) == (6, [])
    assert BAD in (plain.folder / "backup" / plain.name / "zones.bson").read_bytes()
    assert backup["collections"]["zones"]["documents"] == 6
    assert (rotation["state"], rotation["rewrapped"]) == ("complete", 12)


def test_x11_a_plain_record_that_cannot_be_decoded_arrives_byte_for_byte(plain, empty_env_site, identity):
    bundle = plain.folder / "bundle"
    plain.call("data_export", dest=str(bundle), recipients=(public_of(identity),))

    with seen_through_a_proxy(empty_env_site, STORED, BAD) as destination:
        told = destination.call("data_import", src=str(bundle), identity_file=str(identity)).values["manifest"]

        assert (told["records"], told["equal"]) == (18, 18)
        assert record_at(destination, "zones", "bad zone") == record_at(plain, "zones", "bad zone")
        assert BAD in record_at(destination, "zones", "bad zone")


def test_x11_an_envelope_beside_a_text_that_cannot_be_decoded_is_named_by_everything_that_needs_it(sealed):
    site, place = sealed

    (anomaly,) = site.call("kek_info").values["envelopes"]["anomalies"]
    backup = failure_of(site, "db_backup", dest=str(site.folder / "backup"))
    exported = failure_of(site, "data_export", **export(site))
    rotation = failure_of(site, "kek_rotate", to_version=2)

    assert (anomaly["place"], anomaly["code"]) == (place, "record.undecodable")
    assert [place in failure.message for failure in (backup, exported, rotation)] == [True, True, True]
    assert backup.code == "record.unreadable"
    assert {exported.code, rotation.code} == {"record.undecodable"}
    assert site.db.kek_versions.find_one({"_id": "active"})["version"] == 1


def test_x11_a_plain_record_that_cannot_be_decoded_and_comes_during_a_rotation_is_not_in_its_way(site, monkeypatch):
    ask = leader.changes.changed_since

    def changed(store, since, **named):
        site.db.zones.replace_one({"_id": "came late"}, {"comment": STORED.decode()}, upsert=True)
        return ask(store, since, **named)

    monkeypatch.setattr(leader.changes, "changed_since", changed)

    rotation = site.call("kek_rotate", to_version=2).values["rotation"]

    assert (rotation["state"], rotation["rewrapped"]) == ("complete", 12)
    assert site.db.zones.count_documents({"_id": "came late"}) == 1


def test_x11_a_record_that_cannot_be_decoded_is_named_wherever_it_is_looked_up(sealed):
    site, place = sealed
    record_id = bson.ObjectId(place.partition("/")[2])
    with open_store(Secret(site.uri), site.name) as store:
        for read in (
            lambda: records.by_ids(store, "dns_credentials", [record_id]),
            lambda: list(records.some_with(store, "dns_credentials", "comment", 5)),
            lambda: list(records.stream(store, "dns_credentials")),
        ):
            with pytest.raises(OpsError) as failure:
                read()
            assert (failure.value.code, place in failure.value.message) == ("record.undecodable", True)


def test_x11_what_cannot_be_decoded_where_nobody_listed_a_field_keeps_a_rotation_from_completing(site):
    record = {"_id": "hidden", "spare": {"wrapped_dek": b"w", "nonce": b"n", "ciphertext": b"c"}}
    site.db.plugins.insert_one({**record, "comment": STORED.decode()})

    failure = failure_of(site, "kek_rotate", to_version=2)

    assert failure.code == "rotate.incomplete"
    assert "plugins/hidden" in str(failure.facts)
    assert site.db.kek_versions.find_one({"_id": "active"})["version"] == 1


def test_x11_once_the_record_is_mended_the_rotation_completes(sealed):
    site, place = sealed
    failure_of(site, "kek_rotate", to_version=2)
    record_id = bson.ObjectId(place.partition("/")[2])
    site.db.dns_credentials.update_one({"_id": record_id}, {"$set": {"comment": "naive"}})

    rotation = site.call("kek_rotate", to_version=2).values["rotation"]

    arrived = site.db.dns_credentials.find_one({"_id": record_id})["encrypted_api_key"]
    assert (rotation["state"], rotation["remaining"]) == ("complete", 0)
    assert plaintext_of(site.keks[2], record_id, "encrypted_api_key", arrived) == b"behind a bad text"


# what is odd: a document as the test server stores it, and the bytes of it that a client sees in place of others
ODD = {
    "a symbol": ({"_id": 1, "odd1": "text"}, b"\x02odd1\0", b"\x0eodd1\0"),
    "undefined": ({"_id": 1, "odd1": None}, b"\x0aodd1\0", b"\x06odd1\0"),
    "two fields of one name": ({"_id": 1, "odd1": 1, "odd2": 2}, b"\x10odd2\0\2", b"\x10odd1\0\2"),
    "unknown options of a regular expression": ({"_id": 1, "odd1": bson.Regex("^a", "i")}, b"^a\0i\0", b"^a\0q\0"),
}


@pytest.mark.parametrize("odd", ODD)
def test_x10_a_record_with_an_envelope_that_would_change_on_its_way_is_refused_by_name(env_site, odd):
    document, stored, shown = ODD[odd]
    document = {**credential(env_site.keks[1], b"x"), **document, "_id": bson.ObjectId()}
    document["encrypted_api_key"] = envelope(env_site.keks[1], document["_id"], "encrypted_api_key", b"x")
    env_site.db.dns_credentials.insert_one(document)
    with seen_through_a_proxy(env_site, stored, shown):
        failure = failure_of(env_site, "data_export", **export(env_site))

    assert (failure.code, f"dns_credentials/{document['_id']}" in failure.message) == ("record.not_exact", True)
    assert not (env_site.folder / "bundle").exists()


@pytest.mark.parametrize("odd", ODD)
def test_x10_a_plain_record_of_odd_bson_arrives_byte_for_byte(env_site, empty_env_site, identity, odd):
    document, stored, shown = ODD[odd]
    env_site.db.zones_of_old.insert_one(document)
    bundle = env_site.folder / "bundle"
    with (
        seen_through_a_proxy(env_site, stored, shown) as source,
        seen_through_a_proxy(empty_env_site, stored, shown) as destination,
    ):
        source.call("data_export", dest=str(bundle), recipients=(public_of(identity),))
        told = destination.call("data_import", src=str(bundle), identity_file=str(identity)).values["manifest"]

        assert (told["records"], told["equal"]) == (18, 18)
        assert record_at(destination, "zones_of_old", 1) == record_at(source, "zones_of_old", 1)
        assert shown in record_at(destination, "zones_of_old", 1)
