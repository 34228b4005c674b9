# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""migration_writes: what a destination wrote after its acceptance, all of it and nothing of before, by either way."""

from __future__ import annotations

import pytest
from ansible_collections.certautopilot.ops.plugins.module_utils._domain.errors import OpsError
from ansible_collections.certautopilot.ops.plugins.module_utils._store import changes

from tests.support.age_keys import public_of


@pytest.fixture
def imported(env_site, empty_env_site, identity):
    """A destination to which everything came, and which was proven; not accepted yet. Returns (site, its index)."""
    bundle = env_site.folder / "bundle"
    env_site.call("data_export", dest=str(bundle), recipients=(public_of(identity),))
    empty_env_site.call("data_import", src=str(bundle), identity_file=str(identity))
    return empty_env_site, str(bundle / "proven.index")


def writes(site, **options):
    return site.call("migration_writes", **options).values["writes"]


def work(db):
    """What a destination does in its first days."""
    db.zones.insert_one({"_id": 500, "project_id": "p1"})
    db.zones.update_one({"_id": 1}, {"$set": {"apex": "changed.example", "project_id": "p2"}})
    db.zones.delete_one({"_id": 2})
    db.projects.insert_one({"_id": "p3", "name": "three"})
    db.process_heartbeats.insert_one({"_id": "p1"})


WRITTEN = {
    "records": 4,
    "collections": {"projects": {"written": 1, "gone": 0}, "zones": {"written": 2, "gone": 1}},
    "projects": {"p1": 1, "p2": 1, "p3": 1},
}


def test_by_the_oplog_it_is_exactly_what_was_written_since_the_acceptance(imported):
    site, index = imported
    site.db.zones.insert_one({"_id": 400, "project_id": "before"})
    site.db.zones.delete_one({"_id": 400})
    site.call("migration_accept")
    work(site.db)

    found = writes(site, index_file=index)

    assert (found["found_by"], found["exact"]) == ("oplog", True)
    assert {name: found[name] for name in WRITTEN} == WRITTEN
    assert sorted(found["places"]) == ["projects/p3", "zones/1", "zones/2 (gone)", "zones/500"]


def test_without_an_oplog_it_is_what_differs_from_the_index_and_said_to_be_a_bound(imported, monkeypatch):
    site, index = imported
    monkeypatch.setattr(changes, "begin", lambda _store: None)
    site.call("migration_accept")
    work(site.db)

    found = writes(site, index_file=index)

    assert (found["found_by"], found["exact"]) == ("index", False)
    assert {name: found[name] for name in WRITTEN} == WRITTEN


@pytest.mark.parametrize("given", [{}, {"index_file": "/nonexistent/proven.index"}])
def test_where_nothing_can_tell_that_is_said_and_no_number_is(imported, monkeypatch, given):
    site, _index = imported
    monkeypatch.setattr(changes, "begin", lambda _store: None)
    site.call("migration_accept")
    work(site.db)

    found = writes(site, **given)

    assert (found["found_by"], found["records"], found["exact"]) == ("unknown", None, False)


def test_what_is_not_accepted_loses_nothing_and_what_was_withdrawn_neither(imported):
    site, index = imported
    before = writes(site, index_file=index)
    site.call("migration_accept")
    site.call("migration_accept", state="withdrawn")
    work(site.db)

    withdrawn = writes(site, index_file=index)

    assert (before["accepted"], before["records"]) == (False, 0)
    assert (withdrawn["accepted"], withdrawn["records"]) == (False, 0)


def test_a_second_acceptance_counts_from_itself(imported):
    site, _index = imported
    site.call("migration_accept")
    site.db.zones.insert_one({"_id": 500})
    site.call("migration_accept", state="withdrawn")
    site.call("migration_accept")

    assert writes(site)["records"] == 0


def test_a_database_without_an_import_has_none_to_ask_about(env_site):
    with pytest.raises(OpsError) as refusal:
        writes(env_site)

    assert refusal.value.code == "migration.none"
