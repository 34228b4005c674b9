# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""X67: a keystore or an install lock that somebody edited by hand: row and field are named, and nothing goes on."""

from __future__ import annotations

import pytest
from ansible_collections.certautopilot.ops.plugins.module_utils._domain.errors import OpsError

EDITS = {
    "the active version is text": ("kek_versions", {"_id": "active"}, {"version": "1"}, "version"),
    "the epoch is text": ("kek_versions", {"_id": "active"}, {"epoch": "one"}, "epoch"),
    "the invocations are text": ("kek_versions", {"_id": 1}, {"invocations": "many"}, "invocations"),
    "the invocations are half a number": ("kek_versions", {"_id": 1}, {"invocations": 1.5}, "invocations"),
    "the state is a number": ("kek_versions", {"_id": 1}, {"state": 7}, "state"),
    "the key is a list": ("kek_versions", {"_id": 1}, {"key": ["certautopilot-kek-v1"]}, "key"),
    "the id of the key is no hex": ("kek_versions", {"_id": 1}, {"key.id": "first"}, "id"),
    "the canary is text": ("kek_versions", {"_id": 1}, {"canary": "yes"}, "canary"),
    "the install id is a number": ("kek_install", {}, {"install_id": 12}, "install_id"),
    "the time of the lock is text": ("kek_install", {}, {"installed_at": "today"}, "installed_at"),
}
VERBS = {
    "kek_verify": {"allow_empty_fleet": True},
    "kek_rotate": {"to_version": 1},
    "kek_remove": {"version": 1, "grace": 0},
    "kek_install_lock": {},
}


def codes_of(site, tmp_path):
    codes = {}
    for verb, options in {**VERBS, "db_backup": {"dest": str(tmp_path / "backup")}}.items():
        with pytest.raises(OpsError) as refused:
            site.call(verb, **options)
        codes[verb] = (refused.value.code, refused.value.facts.get("field"))
    return codes


@pytest.mark.parametrize("edit", EDITS)
def test_x67_every_verb_refuses_with_the_field_and_kek_info_lists_it(env_site, tmp_path, edit):
    collection, row, change, field = EDITS[edit]
    env_site.db[collection].update_one(row, {"$set": change})
    before = env_site.documents()

    codes = codes_of(env_site, tmp_path)
    info = env_site.call("kek_info").values

    assert set(codes.values()) == {("keystore.damaged", field)}, codes
    assert [one["field"] for one in info["damaged"]] == [field]
    assert info["envelopes"]["total"] == 12
    assert env_site.documents() == before


@pytest.mark.parametrize("row_id", [True, 2.5, -1])
def test_x67_a_row_whose_id_is_no_version_is_named(env_site, tmp_path, row_id):
    env_site.db.kek_versions.insert_one({"_id": row_id, "provider": "env", "state": "active"})

    codes = codes_of(env_site, tmp_path)
    [damaged] = env_site.call("kek_info").values["damaged"]

    assert set(codes.values()) == {("keystore.damaged", "_id")}, codes
    assert repr(row_id) in damaged["place"]


def test_x67_a_keystore_that_nobody_touched_has_nothing_damaged(env_site):
    assert env_site.call("kek_info").values["damaged"] == []
