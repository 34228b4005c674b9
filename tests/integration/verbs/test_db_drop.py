# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""db_drop on a real server: what is not meant, in use or not backed up stays, and a killed run is gone on with."""

from __future__ import annotations

from datetime import datetime

import pytest
from ansible_collections.certautopilot.ops.plugins.module_utils._domain.errors import OpsError
from ansible_collections.certautopilot.ops.plugins.module_utils._store import drop_note


@pytest.fixture
def meant(env_site, tmp_path):
    """The options that drop env_site's database."""
    manifest = env_site.call("db_backup", dest=str(tmp_path / "backup")).values["manifest"]
    return {
        "confirm": env_site.name,
        "install_id": manifest["install_id"],
        "source_digest": manifest["source_digest"],
    }


def names(site):
    return sorted(site.db.list_collection_names())


def beats(site):
    site.db.process_heartbeats.insert_one({"_id": "p1", "hostname": "cap1", "updated_at": datetime.utcnow()})


def test_check_tells_and_leaves_it_a_run_drops_all_and_a_second_changes_nothing(env_site, meant):
    there = names(env_site)

    checked = env_site.call("db_drop", check=True, **meant)
    after_check = names(env_site)
    done = env_site.call("db_drop", **meant)
    again = env_site.call("db_drop", **meant)

    assert (checked.changed, done.changed, again.changed) == (True, True, False)
    assert after_check == there
    assert done.values["dropped"]["collections"] == there
    assert names(env_site) == []


@pytest.mark.parametrize(
    ("option", "value", "code"),
    [
        ("confirm", "another", "drop.unconfirmed"),
        ("confirm", "", "drop.unconfirmed"),
        ("install_id", "0" * 32, "drop.other_installation"),
        ("source_digest", "0" * 64, "drop.not_backed_up"),
    ],
)
def test_what_was_not_meant_so_is_refused_and_stays(env_site, meant, option, value, code):
    there = env_site.documents()

    with pytest.raises(OpsError) as refusal:
        env_site.call("db_drop", **{**meant, option: value})

    assert refusal.value.code == code
    assert env_site.documents() == there


def test_a_database_that_changed_since_its_backup_stays(env_site, meant):
    env_site.db.zones.insert_one({"_id": 100})

    with pytest.raises(OpsError) as refusal:
        env_site.call("db_drop", **meant)

    assert refusal.value.code == "drop.not_backed_up"
    assert "zones" in names(env_site)


def imports(site):
    site.db.kek_imports.insert_one({"_id": "a source", "state": "importing"})


def migrates(site):
    site.call("migration_turn", run="a run", run_by={"user": "u", "host": "h", "pid": "1"})


@pytest.mark.parametrize(("uses", "said"), [(beats, "p1 on cap1"), (imports, "a source"), (migrates, "run a run")])
def test_a_database_that_somebody_uses_stays_and_who_is_named(env_site, meant, uses, said):
    uses(env_site)

    with pytest.raises(OpsError) as refusal:
        env_site.call("db_drop", **meant)

    assert (refusal.value.code, refusal.value.retryable) == ("drop.in_use", True)
    assert said in refusal.value.message
    assert "zones" in names(env_site)


@pytest.mark.parametrize("left", [["locks"], ["kek_install", "locks"], ["kek_install", "locks", "zones"]])
def test_a_run_that_was_killed_half_way_is_gone_on_with(env_site, meant, left):
    drop_note_of = {key: meant[key] for key in ("install_id", "source_digest")}
    env_site.db.locks.replace_one({"_id": drop_note.ID}, drop_note_of, upsert=True)
    for name in set(names(env_site)) - set(left):
        env_site.db.drop_collection(name)

    assert env_site.call("db_drop", **meant).changed
    assert names(env_site) == []
