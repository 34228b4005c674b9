# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Where reads go, whatever the URI says, and what counts as a collection of records."""

from __future__ import annotations

import json

import pymongo.monitoring
import pytest

from tests.support.sealed import plaintext_of

URI_OF_A_SERVICE = "?readPreference=secondaryPreferred&maxStalenessSeconds=120&readConcernLevel=local"


class Reads(pymongo.monitoring.CommandListener):
    """How each read was asked for: (command, mode of the read preference, level of the read concern)."""

    def __init__(self):
        self.asked = []

    def started(self, event):
        if event.command_name in {"find", "aggregate", "count", "distinct"}:
            preference = (event.command.get("$readPreference") or {}).get("mode", "primary")
            level = (event.command.get("readConcern") or {}).get("level")
            self.asked.append((event.command_name, preference, level))

    def succeeded(self, event):
        pass

    def failed(self, event):
        pass


@pytest.fixture
def reads():
    listeners = pymongo.monitoring._LISTENERS
    before, listener = list(listeners.command_listeners), Reads()
    pymongo.monitoring.register(listener)
    yield listener
    listeners.command_listeners[:] = before


@pytest.mark.parametrize(
    ("verb", "options"),
    [("kek_info", {"digest": True}), ("kek_rotate", {"to_version": 2}), ("db_backup", {"dest": "backup"})],
)
def test_x12_whatever_a_uri_says_reads_go_to_the_primary_and_see_what_a_majority_has(env_site, reads, verb, options):
    env_site.uri += URI_OF_A_SERVICE
    env_site.add_kek(2)
    env_site.write()
    if "dest" in options:
        options = {"dest": str(env_site.folder / options["dest"])}

    env_site.call(verb, **options)

    assert {name for name, _mode, _level in reads.asked} >= {"find"}
    assert {(mode, level) for _name, mode, level in reads.asked} == {("primary", "majority")}


@pytest.fixture
def viewed(env_site):
    """An installation with views over sealed and over plain records."""
    env_site.db.create_collection("all_credentials", viewOn="dns_credentials", pipeline=[])
    env_site.db.create_collection("first_zones", viewOn="zones", pipeline=[{"$match": {"_id": {"$lt": 2}}}])
    env_site.add_kek(2)
    env_site.write()
    return env_site


def test_x13_views_hold_no_records_and_are_named(viewed):
    database = viewed.call("kek_info", digest=True).values["database"]
    before = viewed.db.command("ping") and viewed.call("kek_info", digest=True).values["database"]["digest"]
    viewed.db.drop_collection("first_zones")
    after = viewed.call("kek_info", digest=True).values["database"]["digest"]

    assert database["views"] == ["all_credentials", "first_zones"]
    assert database["collections"] == {"dns_credentials": 12, "zones": 5}
    assert before == after


def test_x13_a_view_over_sealed_records_is_in_the_way_of_no_rotation(viewed):
    rotation = viewed.call("kek_rotate", to_version=2).values["rotation"]

    assert (rotation["state"], rotation["rewrapped"]) == ("complete", 12)
    opened = [
        plaintext_of(viewed.keks[2], d["_id"], "encrypted_api_key", d["encrypted_api_key"])
        for d in viewed.db.all_credentials.find()
    ]
    assert sorted(opened) == sorted(f"secret {n}".encode() for n in range(12))


def test_x13_a_backup_holds_how_a_view_was_made_and_none_of_its_documents(viewed):
    dest = viewed.folder / "backup"
    manifest = viewed.call("db_backup", dest=str(dest)).values["manifest"]

    told = json.loads((dest / viewed.name / "first_zones.metadata.json").read_text())
    assert (told["type"], told["options"]["viewOn"]) == ("view", "zones")
    assert not (dest / viewed.name / "first_zones.bson").exists()
    assert "first_zones" not in manifest["collections"]


def test_x13_an_export_says_which_views_stay_behind(viewed, empty_env_site):
    identity = empty_env_site.folder / "identity"
    public = empty_env_site.call("bundle_identity", path=str(identity)).values["recipient"]
    bundle = viewed.folder / "bundle"
    viewed.call("data_export", dest=str(bundle), recipients=(public,))

    empty_env_site.call("data_import", src=str(bundle), identity_file=str(identity))

    assert sorted(set(empty_env_site.db.list_collection_names()) & {"first_zones", "all_credentials", "zones"}) == [
        "zones"
    ]
    assert [warning for warning in viewed.warnings if "first_zones" in warning and "all_credentials" in warning]
