# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Options and indexes of collections arrive with the records, or somebody says that they do not (X14).

Oracle: what the server itself tells of both databases, asked with pymongo.
"""

from __future__ import annotations

import pymongo
import pytest
from ansible_collections.certautopilot.ops.plugins.module_utils._domain.errors import OpsError
from ansible_collections.certautopilot.ops.plugins.module_utils._store import collection_metadata
from bson import ObjectId

from tests.support.age_keys import public_of

FRENCH = {"locale": "fr", "strength": 2}
HAS_A_NAME = {"name": {"$type": "string"}}


@pytest.fixture
def migrate(env_site, empty_env_site, identity):
    """Export and import; return (result of the export, of the import)."""
    dest = env_site.folder / "bundle"

    def once(**options):
        public = public_of(identity)
        exported = env_site.call("data_export", dest=str(dest), recipients=(public,))
        return exported, empty_env_site.call("data_import", src=str(dest), identity_file=str(identity), **options)

    return once


@pytest.fixture
def rich(env_site):
    """A source whose collections have what is no document."""
    db = env_site.db
    db.create_collection("names", collation=FRENCH)
    db.names.create_index("name", name="by_name")
    db.names.create_index("simple", name="by_bytes", collation={"locale": "simple"})
    db.create_collection("nothing_yet")
    db.places.insert_many({"_id": n, "name": f"place {n}", "until": None} for n in range(5))
    db.places.create_index("name", name="unique_name", unique=True)
    db.places.create_index("until", name="expires", expireAfterSeconds=3600)
    db.places.create_index("owner", name="owned", partialFilterExpression={"owner": {"$exists": True}})
    db.places.create_index("sparse", name="sparse", sparse=True)
    db.places.insert_one({"_id": "older than the validator"})
    db.command({"collMod": "places", "validator": HAS_A_NAME, "validationLevel": "moderate"})
    return env_site


def told(site, name):
    """Return (options, indexes) of a collection as its server tells them.

    "No collation" is told by some servers as the simple one, and by others not at all.
    """
    indexes = {index["name"]: dict(index) for index in site.db[name].list_indexes()}
    for index in indexes.values():
        if index.get("collation") == {"locale": "simple"}:
            del index["collation"]
    return site.db[name].options(), indexes


def test_x14_options_and_indexes_arrive_and_a_second_migration_changes_nothing(rich, empty_env_site, migrate):
    _exported, imported = migrate()
    again, unchanged = migrate()

    for name in ("names", "nothing_yet", "places", "dns_credentials"):
        assert told(empty_env_site, name) == told(rich, name)
    assert told(empty_env_site, "places")[0]["validator"] == HAS_A_NAME
    assert imported.values["manifest"]["metadata"]["missing"] == []
    assert "places: index unique_name" in imported.values["manifest"]["metadata"]["made"]
    assert (again.changed, unchanged.changed) == (False, False)
    assert unchanged.values["manifest"]["metadata"] == {"made": [], "missing": [], "different": []}


def test_x14_the_manifest_names_options_and_indexes(rich, migrate):
    exported, _imported = migrate()

    shown = exported.values["manifest"]["metadata"]
    assert shown["names"] == {"options": ["collation"], "indexes": ["by_bytes", "by_name"], "left": []}
    assert shown["places"]["options"] == ["validationLevel", "validator"]


def test_x14_check_mode_predicts_what_is_made_and_makes_nothing(rich, empty_env_site, migrate):
    _exported, predicted = migrate(check=True)
    before = empty_env_site.db.list_collection_names()
    _again, imported = migrate()

    assert "places" not in before
    assert predicted.values["manifest"]["metadata"] == imported.values["manifest"]["metadata"]


def test_x14_an_index_that_came_later_is_a_change_of_its_own(rich, empty_env_site, migrate):
    migrate()
    rich.db.places.create_index("late", name="late")

    exported, imported = migrate()
    _exported, again = migrate()

    assert (exported.changed, imported.changed, again.changed) == (True, True, False)
    assert imported.values["manifest"]["metadata"]["made"] == ["places: index late"]
    assert "late" in empty_env_site.db.places.index_information()


def test_x14_a_record_that_was_deleted_and_made_again_is_in_the_way_of_no_unique_index(rich, empty_env_site, migrate):
    migrate()
    rich.db.places.delete_one({"_id": 4})
    rich.db.places.insert_one({"_id": ObjectId(), "name": "place 4"})
    rich.db.places.delete_one({"_id": 3})
    rich.db.places.insert_one({"_id": -1, "name": "place 3"})  # sorts before the one whose name it has

    migrate()

    assert list(empty_env_site.db.places.find(sort=[("_id", 1)])) == list(rich.db.places.find(sort=[("_id", 1)]))
    with pytest.raises(pymongo.errors.DuplicateKeyError):
        empty_env_site.db.places.insert_one({"_id": "twice", "name": "place 4"})


def test_x14_what_a_run_took_down_before_it_was_killed_is_made_again_by_the_next(
    rich, empty_env_site, migrate, monkeypatch
):
    migrate()
    rich.db.places.update_one({"_id": 1}, {"$set": {"name": "another"}})

    def dies(*_arguments, **_named):
        raise KeyboardInterrupt

    monkeypatch.setattr(collection_metadata, "make", dies)
    with pytest.raises(KeyboardInterrupt):
        migrate()
    monkeypatch.undo()
    between = set(empty_env_site.db.places.index_information())

    migrate()

    assert "unique_name" not in between
    assert told(empty_env_site, "places") == told(rich, "places")


def test_x14_what_is_not_carried_is_said_and_stands_in_the_manifest(env_site, migrate):
    env_site.db.create_collection("last_events", capped=True, size=4096)

    exported, _imported = migrate()

    assert exported.values["manifest"]["metadata"]["last_events"]["left"] == ["option capped", "option size"]
    assert any("last_events: option capped" in warning for warning in env_site.warnings)


def test_x14_an_index_that_the_server_does_not_know_is_said_and_stops_nothing(
    env_site, empty_env_site, migrate, monkeypatch
):
    real = collection_metadata.read_all

    def with_an_odd_index(store):
        found = real(store)
        if store.name != env_site.name:
            return found
        odd = {"name": "odd", "key": {"a": "no such kind"}}
        return tuple(collection_metadata.CollectionMetadata(one.name, one.options, (odd,)) for one in found)

    monkeypatch.setattr(collection_metadata, "read_all", with_an_odd_index)

    _exported, imported = migrate()
    _again, unchanged = migrate()

    assert "dns_credentials: index odd" in imported.values["manifest"]["metadata"]["missing"]
    assert any("index odd (the server refused it with code" in warning for warning in empty_env_site.warnings)
    assert not unchanged.changed


def test_x14_what_the_destination_has_of_its_own_stays_and_is_said(rich, empty_env_site, migrate):
    empty_env_site.db.create_collection("names", collation={"locale": "de"})
    empty_env_site.db.places.create_index("name", name="unique_name")
    empty_env_site.db.places.create_index("more", name="more")

    _exported, imported = migrate()

    different = imported.values["manifest"]["metadata"]["different"]
    assert {"names: option collation", "places: index unique_name"} <= set(different)
    assert {"unique_name", "more"} <= set(empty_env_site.db.places.index_information())
    assert any("places: index unique_name" in warning for warning in empty_env_site.warnings)


def test_x14_an_index_that_the_source_dropped_and_that_may_refuse_records_is_said_to_differ(
    rich, empty_env_site, migrate
):
    migrate()
    rich.db.places.drop_index("unique_name")
    rich.db.places.drop_index("owned")

    _exported, imported = migrate()

    assert imported.values["manifest"]["metadata"]["different"] == ["places: index unique_name"]
    assert any("places: index unique_name" in warning for warning in empty_env_site.warnings)


def test_x14_a_unique_index_of_the_destination_that_refuses_a_record_is_named_by_its_fields_and_shows_no_value(
    env_site, empty_env_site, migrate
):
    env_site.db.zones.insert_one({"_id": "twin", "apex": "4.example"})
    empty_env_site.db.zones.create_index("apex", unique=True)

    with pytest.raises(OpsError) as refusal:
        migrate()

    assert refusal.value.code == "database.refused"
    assert "server code 11000" in refusal.value.message
    assert "a unique index over apex" in refusal.value.message
    assert "4.example" not in refusal.value.message


def test_x14_the_fence_around_a_removed_version_neither_travels_nor_falls(env_site, empty_env_site, migrate):
    both = {"$and": [{"name": {"$exists": True}}, {"encrypted_api_key": {"$exists": True}}]}
    env_site.db.dns_credentials.update_many({}, {"$set": {"name": "x"}})
    env_site.db.command({"collMod": "dns_credentials", "validator": both})
    for site in (env_site, empty_env_site):
        site.add_kek(2)
        site.write()
        site.call("kek_rotate", to_version=2)
    env_site.call("kek_remove", version=1, grace=0)

    migrate()
    fenced = empty_env_site.db.dns_credentials.options()["validator"]
    empty_env_site.call("kek_remove", version=1, grace=0)
    env_site.db.dns_credentials.update_one({}, {"$set": {"name": "y"}})
    migrate()

    assert fenced == both
    with pytest.raises(pymongo.errors.WriteError):
        empty_env_site.db.dns_credentials.insert_one({"name": "z", "encrypted_api_key": {"kek_version": 1}})
    with pytest.raises(pymongo.errors.WriteError):
        empty_env_site.db.dns_credentials.insert_one({"name": "no key"})


def test_x14_an_accepted_destination_gets_no_index_any_more(rich, empty_env_site, migrate, monkeypatch):
    migrate()
    rich.db.places.create_index("late", name="late")
    real = collection_metadata.create_missing

    def accepted_meanwhile(store, wanted, **named):
        store.collection("kek_imports").update_one({}, {"$set": {"state": "accepted"}})
        return real(store, wanted, **named)

    monkeypatch.setattr(collection_metadata, "create_missing", accepted_meanwhile)

    with pytest.raises(OpsError) as refusal:
        migrate()

    assert refusal.value.code == "import.accepted"
    assert "late" not in empty_env_site.db.places.index_information()
