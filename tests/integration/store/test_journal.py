# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The journal: what somebody altered, removed or damaged in it is named, and nothing that is at work ends with it."""

from __future__ import annotations

import pytest
from ansible_collections.certautopilot.ops.plugins.module_utils._domain.secret import Secret
from ansible_collections.certautopilot.ops.plugins.module_utils._store import journal
from ansible_collections.certautopilot.ops.plugins.module_utils._store.connection import open_store


@pytest.fixture
def written(env_site):
    """A site whose journal has five entries of ours and more."""
    with open_store(Secret(env_site.uri), env_site.name) as store:
        for number in range(5):
            journal.append(store, "demo", {"number": number})
    return env_site


def told(site, **options):
    return site.call("kek_info", gather=("journal",), **options).values["journal"]


def test_a_journal_that_nobody_touched_is_sound_and_has_a_head(written):
    before = told(written)
    last = written.db.kek_journal.find_one(sort=[("_id", -1)])

    assert before["damaged"] == []
    assert before["entries"] == written.db.kek_journal.count_documents({})
    assert before["head"] == f"{last['_id']}:{last['hash']}"
    assert told(written, journal_head=before["head"])["damaged"] == []


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"$set": {"facts.number": 99}}, "it was altered"),
        ({"$set": {"verb": "other"}}, "it was altered"),
        ({"$set": {"hash": "0" * 64}}, "it was altered"),
        ({"$unset": {"hash": ""}}, "it has no hash or no time"),
        ({"$set": {"at": "noon"}}, "it has no hash or no time"),
        ({"$unset": {"facts": ""}}, "it has not the form of an entry"),
        ({"$set": {"facts": {"at": b"x"}}}, "it has not the form of an entry"),
    ],
)
def test_x31_an_entry_that_was_altered_is_named(written, change, word):
    written.db.kek_journal.update_one({"_id": 3}, change)

    assert any(line.startswith("entry 3: ") and word in line for line in told(written)["damaged"])


@pytest.mark.parametrize("number", [1, 3])
def test_x31_an_entry_that_was_removed_is_noticed_at_the_next_one(written, number):
    written.db.kek_journal.delete_one({"_id": number})

    assert told(written)["damaged"] == [f"entry {number + 1}: what was before it was altered or removed"]


def test_x31_what_a_chain_cannot_show_is_shown_by_a_head_that_was_kept(written):
    kept = told(written)["head"]
    written.db.kek_journal.delete_one({"_id": int(kept.partition(":")[0])})

    assert told(written)["damaged"] == [], "a chain that is cut at its end is a chain"
    assert told(written, journal_head=kept)["damaged"] != []


@pytest.mark.parametrize(
    "row", [{"_id": "a text"}, {"_id": True}, {"_id": 99}, {"_id": 99.5, "hash": 7}, {"_id": None, "facts": []}]
)
def test_x31_a_damaged_row_is_named_and_a_rotation_ends_with_its_work(written, row):
    written.add_kek(2)
    written.write()
    written.db.kek_journal.insert_one(row)

    rotated = written.call("kek_rotate", to_version=2)

    assert rotated.values["rotation"]["state"] == "complete"
    assert written.db.kek_journal.count_documents({"verb": "kek_rotate"}) == 1
    assert any(f"entry {row['_id']}" in line for line in told(written)["damaged"])
