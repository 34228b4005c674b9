# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""mongodump and mongorestore themselves, both ways, where they can be built or are on PATH; else skipped, and why."""

from __future__ import annotations

import datetime
import subprocess

import bson
import pytest

from tests.support import mongo_tools, mongodump_forms


def tool(name, site, *arguments):
    config = site.folder / f"{name}.yaml"  # WHY a file: a URI on a command line is read by everybody
    config.touch(mode=0o600)
    config.write_text(f'uri: "{site.uri}"\n')
    path, why_not = mongo_tools.found(name)
    if path is None:
        pytest.skip(why_not)
    subprocess.run(
        [path, "--quiet", f"--config={config}", *arguments], check=True, timeout=120
    )  # runs: mongodump (or mongorestore)


@pytest.fixture
def source(env_site):
    env_site.db.zones.create_index([("apex", 1)], unique=True)
    env_site.db["50% & more/äöü"].insert_one({"_id": 1})
    env_site.db["n" * 200].insert_one({"_id": 1})
    env_site.db.odd.insert_one(
        {
            "_id": bson.Int64(7),
            "when": datetime.datetime(1815, 6, 18, 9, 30, 1, 7000),
            "many": [bson.Decimal128("1.10"), bson.Regex("^a", "i"), bson.Timestamp(1, 2), None, -0.0, 2**40],
            "raw": [bson.Binary(b"x", 5), bson.Binary(b"u" * 16, 4), bson.MinKey(), bson.MaxKey(), bson.Code("f()")],
            "nested": {"b": 1, "a": {"empty": {}}},
        }
    )
    env_site.db.create_collection("empty")
    env_site.db.create_collection("ring", capped=True, size=65536)
    env_site.db.create_collection("sorted", collation={"locale": "de"})
    env_site.db.create_collection("first_zones", viewOn="zones", pipeline=[])
    return env_site


@pytest.mark.parametrize("packed", [(), ("--gzip",)], ids=["plain", "packed"])
@pytest.mark.parametrize("form", ["folder", "archive"])
def test_what_mongodump_writes_is_restored(source, target, tmp_path, form, packed):
    dump = tmp_path / "dump"
    tool("mongodump", source, f"--db={source.name}", f"--{'out' if form == 'folder' else 'archive'}={dump}", *packed)

    result = target.call("db_restore", src=str(dump))

    assert (result.values["restored"]["left"], result.values["restored"]["refused"]) == ([], [])
    assert mongodump_forms.everything(target.db) == mongodump_forms.everything(source.db)
    assert target.db.zones.index_information()["apex_1"]["unique"] is True


def test_mongorestore_reads_our_backup(source, target, tmp_path):
    source.call("db_backup", dest=str(tmp_path / "backup"))

    tool("mongorestore", target, f"--nsFrom={source.name}.*", f"--nsTo={target.name}.*", str(tmp_path / "backup"))

    assert mongodump_forms.everything(target.db) == mongodump_forms.everything(source.db)
    assert target.db.zones.index_information()["apex_1"]["unique"] is True
