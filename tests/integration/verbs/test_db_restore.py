# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""db_restore from every form of a dump; the oracle reads raw BSON of source and target and shares no code with ours.

mongodump's forms are written by tests/support/mongodump_forms.py; test_real_mongo_tools.py asks the tools themselves.
"""

from __future__ import annotations

import datetime
import gzip
import os
from pathlib import Path

import bson
import pyrage
import pytest
from ansible_collections.certautopilot.ops.plugins.module_utils._domain.errors import OpsError
from ansible_collections.certautopilot.ops.plugins.module_utils._store import (
    restore_mark,
    restored_records,
)
from bson import json_util
from pymongo.errors import WriteError

from tests.support import fail_points, mongodump_forms
from tests.support.sealed import credential, plaintext_of

ODD = (
    {"_id": 1, "date": datetime.datetime(9999, 12, 31), "decimal": bson.Decimal128("1.10"), "long": bson.Int64(1)},
    {"_id": 1.5, "code": bson.Code("f()", {"a": 1}), "regex": bson.Regex("^a", "i"), "min": bson.MinKey()},
    {"_id": "1", "ref": bson.DBRef("zones", 1), "stamp": bson.Timestamp(5, 6), "binary": bson.Binary(b"x", 128)},
    {"_id": bson.ObjectId(), "empty": {}, "list": [[], None, True], "nan": float("nan"), "zero": -0.0},
    {"_id": {"b": 1, "a": 2}, "uuid": bson.Binary(b"0" * 16, 4), "when": datetime.datetime(1960, 1, 1)},
)
FORMS = ["backup", "encrypted", "folder", "folder of the database", "folder, packed", "archive", "archive, packed"]
LONG, PERCENT = "n" * 200, "zones/50% & more+äöü"


@pytest.fixture
def source(env_site):
    """An installation with odd types, views, capped, collations, indexes, validators, odd names, empty collections."""
    db = env_site.db
    db.odd.insert_many(ODD)
    db[PERCENT].insert_many([{"_id": number} for number in range(4)])
    db[LONG].insert_one({"_id": "long"})
    db["dotted.name.here"].insert_one({"_id": 1})
    db.create_collection("empty")
    db.create_collection("ring", capped=True, size=65536, max=100)
    db.ring.insert_many([{"_id": number} for number in (3, 1, 2)])
    db.create_collection("sorted", collation={"locale": "de", "strength": 2})
    db.sorted.insert_many([{"_id": "a", "n": "x"}, {"_id": "b", "n": "y"}])
    db.create_collection("strict", validator={"a": {"$type": "string"}}, validationLevel="moderate")
    db.strict.insert_one({"_id": 1, "a": "text"})
    db.zones.create_index([("apex", 1)], unique=True, name="one apex")
    db.zones.create_index([("apex", -1)], partialFilterExpression={"apex": {"$gt": "2"}}, name="some")
    db.create_collection("first_zones", viewOn="zones", pipeline=[{"$match": {"_id": 0}}])
    return env_site


@pytest.fixture
def officer(tmp_path):
    """An identity, in a file, that opens backups."""
    identity, path = pyrage.x25519.Identity.generate(), tmp_path / "officer.key"
    path.touch(mode=0o600)
    path.write_text(f"{identity}\n")
    return str(identity.to_public()), str(path)


@pytest.fixture
def dumped(source, officer, tmp_path):
    """Make a dump of the source in a form; return the options of its restore."""

    def make(form):
        path = tmp_path / "dump"
        if form == "backup":
            source.call("db_backup", dest=str(path))
        elif form == "encrypted":
            source.call("db_backup", dest=str(path), recipients=(officer[0],), encrypt="all")
            return {"src": str(path), "identity_file": officer[1]}
        elif form.startswith("folder"):
            mongodump_forms.write_folder(source.db, path, packed=form.endswith("packed"))
            path = path / source.name if form == "folder of the database" else path
        else:
            mongodump_forms.write_archive(source.db, path, packed=form.endswith("packed"))
        return {"src": str(path)}

    return make


def metadata_in(db):
    """Return options and indexes of a database as the server tells them, without what names the database."""
    told = {}
    for entry in db.list_collections():
        indexes = [dict(one) for one in db[entry["name"]].list_indexes()] if mongodump_forms.is_kept(entry) else []
        told[entry["name"]] = (entry.get("type"), entry["options"], sorted(indexes, key=lambda one: one["name"]))
    return told


def refused(site, **options):
    with pytest.raises(OpsError) as refusal:
        site.call("db_restore", **options)
    return refusal.value


@pytest.mark.parametrize("form", FORMS)
def test_every_form_brings_back_every_byte_and_all_that_was_said_of_collections(source, target, dumped, form):
    options = dumped(form)

    predicted = target.call("db_restore", check=True, **options)
    nothing_yet = target.db.list_collection_names()
    result = target.call("db_restore", **options)
    again = target.call("db_restore", **options)

    assert nothing_yet == []
    assert mongodump_forms.everything(target.db) == mongodump_forms.everything(source.db)
    assert metadata_in(target.db) == metadata_in(source.db)
    assert (predicted.changed, result.changed, again.changed) == (True, True, False)
    told = result.values["restored"]
    assert {**predicted.values["restored"], "records_digest": told["records_digest"]} == told
    assert told["records_digest"] == source.call("kek_info", digest=True).values["database"]["digest"]
    assert (told["form"], told["packed"], told["encrypted"], told["left"], told["refused"]) == (
        {"e": "backup", "b": "backup", "f": "folder", "a": "archive"}[form[0]],
        form.endswith("packed"),
        form == "encrypted",
        [],
        [],
    )
    assert (told["from_database"], told["views"], again.values["restored"]) == (source.name, ["first_zones"], told)


def test_what_was_restored_is_an_installation_that_works(source, target, dumped):
    record = credential(source.keks[1], b"to be read again")
    source.db.dns_credentials.insert_one(record)
    target.call("db_restore", **dumped("backup"))
    target.add_kek(1, source.keks[1])
    target.add_kek(2)
    target.write()

    assert target.call("kek_rotate", to_version=2).values["rotation"]["state"] == "complete"
    sealed = target.db.dns_credentials.find_one({"_id": record["_id"]})["encrypted_api_key"]
    assert plaintext_of(target.keks[2], record["_id"], "encrypted_api_key", sealed) == b"to be read again"


def test_indexes_and_validators_do_what_they_did(target, dumped):
    target.call("db_restore", **dumped("archive"))

    with pytest.raises(WriteError):
        target.db.zones.insert_one({"_id": "another", "apex": "3.example"})
    with pytest.raises(WriteError):
        target.db.strict.insert_one({"_id": 2, "a": 7})


@pytest.mark.parametrize("what", ["collection", "view", "one record more", "empty collection"])
def test_a_database_that_is_not_empty_is_refused_and_stays_as_it_is(source, target, dumped, what):
    options = dumped("backup")
    if what == "collection":
        target.db.theirs.insert_one({"_id": 1})
    elif what == "view":
        target.db.create_collection("theirs", viewOn="nothing", pipeline=[])
    elif what == "empty collection":
        target.db.create_collection("theirs")
    else:
        target.call("db_restore", **options)
        target.db.zones.insert_one({"_id": "theirs", "apex": "theirs"})
    before = mongodump_forms.everything(target.db)

    failure = refused(target, **options)

    assert (failure.code, what == "one record more" or "theirs" in failure.message) == ("restore.not_empty", True)
    assert mongodump_forms.everything(target.db) == before


class Killed(BaseException):
    """The run ends here, as by kill -9: nothing after it happens."""


MOMENTS = ["mark_restore", "create_restored", "insert_restored", "compare_restored", "advance_restore"]
MOMENTS += ["make_restored_metadata", "unmark_restore"]


@pytest.mark.parametrize("late", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("moment", MOMENTS)
def test_a_restore_that_was_killed_is_finished_by_the_next_and_nothing_works_on_the_database_before(
    source, target, dumped, monkeypatch, moment, late
):
    where, name = fail_points.find(moment)
    options, real, calls = dumped("archive"), getattr(where, name), []

    def dies(*args, **named):
        calls.append(1)
        if moment == "insert_restored" and len(calls) < 4:
            return real(*args, **named)
        if late:
            real(*args, **named)
        raise Killed

    with monkeypatch.context() as patched:
        patched.setattr(where, name, dies)
        with pytest.raises(Killed):
            target.call("db_restore", **options)
    if (moment, late) not in (("mark_restore", False), ("unmark_restore", True)):
        for verb, needed in (("kek_info", {}), ("kek_install_lock", {})):
            with pytest.raises(OpsError) as failure:
                target.call(verb, **needed)
            assert failure.value.code == "restore.unfinished"

    result = target.call("db_restore", **options)

    assert result.changed == ((moment, late) != ("unmark_restore", True))
    assert mongodump_forms.everything(target.db) == mongodump_forms.everything(source.db)
    assert metadata_in(target.db) == metadata_in(source.db)


def test_while_one_dump_is_restored_another_is_not(source, target, dumped, tmp_path, monkeypatch):
    options = dumped("archive")

    def dies(*_arguments):
        raise Killed

    with monkeypatch.context() as patched:
        patched.setattr(restored_records, "tally_of", dies)
        with pytest.raises(Killed):
            target.call("db_restore", **options)
    source.db.zones.insert_one({"_id": "later", "apex": "later"})
    mongodump_forms.write_archive(source.db, tmp_path / "another")

    assert refused(target, src=str(tmp_path / "another")).code == "restore.other_under_way"


def test_of_two_runs_the_one_that_was_overtaken_writes_nothing_more(target, dumped, monkeypatch):
    options, flush = dumped("archive"), restored_records.Inserter.flush

    def overtaken(self):
        target.db.kek_restore.update_one({}, {"$set": {"run": "another"}})
        flush(self)

    monkeypatch.setattr(restored_records.Inserter, "flush", overtaken)

    assert refused(target, **options).code == "restore.superseded"
    assert target.db.zones.count_documents({}) == 0


@pytest.mark.parametrize("writer", ["adds", "changes", "removes"])
def test_what_somebody_writes_meanwhile_is_found_and_named(source, target, dumped, monkeypatch, writer):
    real = restored_records.tally_of

    def after_another(store, names, key):
        {
            "adds": lambda: target.db.zones.insert_one({"_id": "theirs", "apex": "theirs"}),
            "changes": lambda: target.db.zones.update_one({"_id": 3}, {"$set": {"apex": "theirs"}}),
            "removes": lambda: target.db.zones.delete_one({"_id": 3}),
        }[writer]()
        return real(store, names, key)

    monkeypatch.setattr(restored_records, "tally_of", after_another)

    failure = refused(target, **dumped("archive"))

    assert (failure.code, "zones" in failure.message) == ("restore.not_equal", True)
    assert len(failure.facts["differing"]) == 1


def test_a_dump_that_changes_between_its_two_readings_is_not_called_restored(source, target, dumped, monkeypatch):
    options, take = dumped("folder"), restore_mark.take
    file = Path(options["src"], source.name, "zones.bson")

    def after_a_change(store, dump):
        with file.open("ab") as content:
            content.write(bson.encode({"_id": "smuggled"}))
        return take(store, dump)

    monkeypatch.setattr(restore_mark, "take", after_a_change)

    assert refused(target, **options).code == "restore.changed_meanwhile"


def test_what_is_no_part_of_an_installation_is_left_by_name(source, target, dumped, tmp_path):
    options = dumped("folder")
    folder = tmp_path / "dump"
    for name in ("system.profile", "%24admin.system.users", "system.buckets.weather"):
        (folder / source.name / f"{name}.bson").write_bytes(bson.encode({"_id": 1}))
    told = {"options": {"timeseries": {"timeField": "t"}}, "indexes": [], "collectionName": "weather"}
    (folder / source.name / "weather.metadata.json").write_text(json_util.dumps({**told, "type": "timeseries"}))
    (folder / source.name / "notes.txt").write_text("mine")
    for name in ("admin", "elsewhere"):
        (folder / name).mkdir()
        (folder / name / "things.bson").write_bytes(bson.encode({"_id": 1}))
    (folder / "oplog.bson").write_bytes(b"")

    which = refused(target, **options)
    result = target.call("db_restore", from_database=source.name, **options)

    assert (which.code, "elsewhere" in which.message) == ("restore.which_database", True)
    assert refused(target, from_database="nowhere", **options).code == "restore.which_database"
    left = {entry.partition(" (")[0] for entry in result.values["restored"]["left"]}
    assert left == {
        "system.profile", "$admin.system.users", "system.buckets.weather", "weather", "notes.txt", "admin",
        "elsewhere", "oplog.bson",
    }  # fmt: skip
    assert all(any(name in warning for warning in target.warnings) for name in left)
    assert mongodump_forms.everything(target.db) == mongodump_forms.everything(source.db)


def test_a_dump_of_a_half_restored_database_is_refused(source, target, dumped):
    source.db.kek_restore.insert_one({"_id": "restore"})

    assert refused(target, **dumped("archive")).code == "restore.of_unfinished"


def test_an_encrypted_backup_needs_its_identity(source, target, dumped, tmp_path):
    options = dumped("encrypted")
    stranger = tmp_path / "stranger.key"
    stranger.touch(mode=0o600)
    stranger.write_text(f"{pyrage.x25519.Identity.generate()}\n")

    assert refused(target, src=options["src"]).code == "restore.no_identity"
    assert refused(target, src=options["src"], identity_file=str(stranger)).code == "bundle.wrong_recipient"
    assert target.db.list_collection_names() == []


def test_the_digest_that_was_noted_elsewhere_decides_which_backup_it_is(source, target, tmp_path):
    noted = source.call("db_backup", dest=str(tmp_path / "one")).values["manifest_sha256"]
    source.db.zones.insert_one({"_id": "forged", "apex": "forged"})
    source.call("db_backup", dest=str(tmp_path / "two"))

    assert refused(target, src=str(tmp_path / "two"), manifest_sha256=noted).code == "restore.not_this_backup"
    assert target.call("db_restore", src=str(tmp_path / "one"), manifest_sha256=noted).changed


def test_what_the_server_refuses_of_options_and_indexes_is_named_and_the_records_are_there(source, target, dumped):
    options = dumped("folder")
    path = Path(options["src"], source.name, "zones.metadata.json")
    told = json_util.loads(path.read_text(), json_options=json_util.CANONICAL_JSON_OPTIONS)
    told["indexes"].append({"v": 2, "key": {"apex": "no such kind"}, "name": "of another release"})
    path.write_text(json_util.dumps(told, json_options=json_util.CANONICAL_JSON_OPTIONS))

    result = target.call("db_restore", **options)

    assert [what.partition(" (")[0] for what in result.values["restored"]["refused"]] == [
        "zones: index of another release"
    ]
    assert any("of another release" in warning for warning in target.warnings)
    assert mongodump_forms.everything(target.db) == mongodump_forms.everything(source.db)


@pytest.mark.parametrize(
    ("make", "code"),
    [
        (lambda path: None, "restore.missing"),
        (lambda path: path.write_bytes(b""), "restore.unknown_form"),
        (lambda path: path.write_bytes(b"PK\3\4 something else"), "restore.unknown_form"),
        (lambda path: path.write_bytes(gzip.compress(b"something else")), "restore.unknown_form"),
        (lambda path: path.mkdir(), "restore.unknown_form"),
        (lambda path: path.symlink_to("/etc"), "file.kind"),
        (os.mkfifo, "file.kind"),
    ],
    ids=["nothing", "empty", "a zip", "gzip of something", "an empty folder", "a link", "a FIFO"],
)
def test_what_is_no_dump_is_refused(target, tmp_path, make, code):
    make(tmp_path / "dump")

    assert refused(target, src=str(tmp_path / "dump")).code == code


@pytest.mark.parametrize("name", ["zones.bson", "zones.metadata.json", ""])
def test_a_link_in_a_dump_is_not_followed(source, target, dumped, tmp_path, name):
    options = dumped("folder")
    path = tmp_path / "dump" / source.name / name
    path.rename(tmp_path / "elsewhere")
    path.symlink_to(tmp_path / "elsewhere")

    assert refused(target, **options).code in ("file.kind", "restore.unknown_form")
    assert target.db.list_collection_names() == []
