# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the server's oplog tells of changed records, and when nothing is to be concluded from it."""

from __future__ import annotations

import pytest
from ansible_collections.certautopilot.ops.plugins.module_utils._domain.secret import Secret
from ansible_collections.certautopilot.ops.plugins.module_utils._store import changes
from ansible_collections.certautopilot.ops.plugins.module_utils._store.connection import open_store
from pymongo.errors import OperationFailure


@pytest.fixture
def store(env_site):
    with open_store(Secret(env_site.uri), env_site.name) as opened:
        yield opened


@pytest.fixture
def since(store):
    begun = changes.begin(store)
    if begun is None:
        pytest.skip("this server keeps no oplog")
    return begun


def test_each_changed_record_is_told_once_and_those_of_other_collections_are_not(env_site, store, since):
    env_site.db.plugins.insert_many([{"_id": 1}, {"_id": "1"}, {"_id": 2}])
    env_site.db.plugins.update_one({"_id": 1}, {"$set": {"x": 1}})
    env_site.db.plugins.replace_one({"_id": 1}, {"x": 2})
    env_site.db.plugins.delete_one({"_id": 2})
    env_site.db.left_out.insert_one({"_id": 3})
    env_site.db.process_heartbeats.insert_one({"_id": "somebody"})

    told = changes.changed_since(store, since, apart_from=["left_out"])

    assert told == {"plugins": [1, "1", 2]}


def test_nothing_is_told_where_nothing_changed(store, since):
    assert changes.changed_since(store, since, apart_from=[]) == {}


def test_what_was_told_once_is_told_again(env_site, store, since):
    env_site.db.zones.insert_one({"_id": "a"})
    first = changes.changed_since(store, since, apart_from=[])
    env_site.db.zones.insert_one({"_id": "b"})

    assert (first, changes.changed_since(store, since, apart_from=[])) == ({"zones": ["a"]}, {"zones": ["a", "b"]})


def test_many_changes_of_other_collections_do_not_look_like_the_end(env_site, store, since):
    for _round in range(4):
        env_site.db.left_out.insert_many([{} for _number in range(1000)])
    env_site.db.zones.insert_one({"_id": "the last"})

    assert changes.changed_since(store, since, apart_from=["left_out"]) == {"zones": ["the last"]}


@pytest.mark.parametrize("how", ["dropped", "renamed"])
def test_a_collection_that_went_means_that_everything_has_to_be_read(env_site, store, since, how):
    env_site.db.passing.insert_one({})
    env_site.db.passing.drop() if how == "dropped" else env_site.db.passing.rename("zones_of_old")

    assert changes.changed_since(store, since, apart_from=[]) is None


def test_an_oplog_that_was_cut_without_a_word_is_noticed(env_site, store, since):
    env_site.db.zones.insert_one({})
    later = changes.begin(store)
    cut = changes.Since(later.token, since.marked)  # the mark is before all that the server still has

    assert changes.changed_since(store, cut, apart_from=[]) is None


def test_more_changes_than_are_worth_a_look_each_mean_that_everything_has_to_be_read(
    env_site, store, since, monkeypatch
):
    monkeypatch.setattr(changes, "CHANGES_AT_MOST", 2)
    env_site.db.zones.insert_many([{}, {}])
    few = changes.changed_since(store, since, apart_from=[])
    env_site.db.zones.insert_one({})

    assert (len(few["zones"]), changes.changed_since(store, since, apart_from=[])) == (2, None)


def test_a_server_that_refuses_to_tell_means_that_everything_has_to_be_read(store, since, monkeypatch):
    def refused(*_arguments, **_options):
        raise OperationFailure("history lost", 286)

    monkeypatch.setattr(store, "watch", refused)

    assert changes.changed_since(store, since, apart_from=[]) is None


def test_a_server_without_an_oplog_has_no_instants(store, monkeypatch):
    monkeypatch.setattr(store, "command", lambda _document: {"ok": 1.0})

    assert changes.begin(store) is None


def test_asking_whether_it_is_quiet_leaves_no_mark_and_sees_a_change(env_site, store, since):
    before = env_site.documents()
    assert changes.seems_unchanged(store, since)
    assert env_site.documents() == before

    env_site.db.zones.insert_one({"_id": "new"})

    assert not changes.seems_unchanged(store, since)
