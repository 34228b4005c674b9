# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""mongodump and mongorestore themselves, both ways, where they are on PATH; elsewhere skipped with that reason."""

from __future__ import annotations

import shutil
import subprocess

import pytest

from tests.support import mongodump_forms


def tool(name, site, *arguments):
    config = site.folder / f"{name}.yaml"  # WHY a file: a URI on a command line is read by everybody
    config.touch(mode=0o600)
    config.write_text(f'uri: "{site.uri}"\n')
    subprocess.run([shutil.which(name), "--quiet", f"--config={config}", *arguments], check=True, timeout=120)


needs_mongodump = pytest.mark.skipif(shutil.which("mongodump") is None, reason="mongodump is not on PATH")
needs_mongorestore = pytest.mark.skipif(shutil.which("mongorestore") is None, reason="mongorestore is not on PATH")


@pytest.fixture
def source(env_site):
    env_site.db.zones.create_index([("apex", 1)], unique=True)
    env_site.db["50% & more/äöü"].insert_one({"_id": 1})
    env_site.db["n" * 200].insert_one({"_id": 1})
    env_site.db.create_collection("empty")
    env_site.db.create_collection("ring", capped=True, size=65536)
    env_site.db.create_collection("sorted", collation={"locale": "de"})
    env_site.db.create_collection("first_zones", viewOn="zones", pipeline=[])
    return env_site


@pytest.fixture
def target(new_site):
    site = new_site()
    site.write()
    return site


@needs_mongodump
@pytest.mark.parametrize("packed", [(), ("--gzip",)], ids=["plain", "packed"])
@pytest.mark.parametrize("form", ["folder", "archive"])
def test_what_mongodump_writes_is_restored(source, target, tmp_path, form, packed):
    dump = tmp_path / "dump"
    tool("mongodump", source, f"--db={source.name}", f"--{'out' if form == 'folder' else 'archive'}={dump}", *packed)

    result = target.call("db_restore", src=str(dump))

    assert (result.values["restored"]["left"], result.values["restored"]["refused"]) == ([], [])
    assert mongodump_forms.everything(target.db) == mongodump_forms.everything(source.db)
    assert target.db.zones.index_information()["apex_1"]["unique"] is True


@needs_mongorestore
def test_mongorestore_reads_our_backup(source, target, tmp_path):
    source.call("db_backup", dest=str(tmp_path / "backup"))

    tool("mongorestore", target, f"--nsFrom={source.name}.*", f"--nsTo={target.name}.*", str(tmp_path / "backup"))

    assert mongodump_forms.everything(target.db) == mongodump_forms.everything(source.db)
    assert target.db.zones.index_information()["apex_1"]["unique"] is True
