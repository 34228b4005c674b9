# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What keeps an old installation from being retired is named, each condition by itself and all at once."""

from __future__ import annotations

import base64
import copy
import json

import pytest
from ansible.errors import AnsibleFilterError
from ansible_collections.certautopilot.ops.plugins.filter.retirement import (
    backups_of,
    off_host_copy,
    retirement_missing,
)

WHOLE = {
    "lock": {"install_id": "old"},
    "database": "certautopilot",
    "newest_heartbeat": "2026-05-01T08:59:59.500Z",
    "done": False,
    "migration": {"source_install_id": "old", "state": "accepted", "updated_at": "2026-05-01T09:00:00Z"},
    "destination_live": 1,
    "report_path": "/var/log/migration.json",
    "report": {"kind": "migration", "records": 5, "equal": 5, "lost": 0, "from": {"install_id": "old"}},
    "backup_path": "/b",
    "backup": {"backup": {"install_id": "old"}, "opened": 3, "of_now": True, "only_here": []},
    "known": [{"ansible_loop_var": "path", "path": "/c", "backup": {"install_id": "old"}, "only_here": []}],
    "now": "2026-05-15T09:00:00Z",
    "grace_days": 14,
    "confirm": "certautopilot",
    "drop": True,
    "drop_confirm": "certautopilot",
    "off_host": {"why": ""},
}


def changed(path, value):
    """Return the facts of WHOLE with one of them changed."""
    facts = copy.deepcopy(WHOLE)
    *above, last = path.split(".")
    place = facts
    for name in above:
        place = place[int(name)] if isinstance(place, list) else place[name]
    place[last] = value
    return facts


def codes(facts):
    return [one["code"] for one in retirement_missing(facts)]


def test_where_all_hold_nothing_is_missing_by_the_id_as_well_as_by_the_name():
    assert codes(WHOLE) == []
    assert codes(changed("confirm", "old")) == []


@pytest.mark.parametrize(
    ("path", "value", "code"),
    [
        ("migration.state", "proven", "retire.no_proof"),
        ("migration.source_install_id", "another", "retire.no_proof"),
        ("newest_heartbeat", "2026-05-01T09:00:01.000Z", "retire.no_proof"),
        ("destination_live", 0, "retire.no_proof"),
        ("report", {}, "retire.no_proof"),
        ("report.lost", 1, "retire.no_proof"),
        ("report.equal", 4, "retire.no_proof"),
        ("report.kind", "rehearsal", "retire.no_proof"),
        ("report.from.install_id", "another", "retire.no_proof"),
        ("backup.of_now", False, "retire.no_backup"),
        ("backup.opened", None, "retire.no_backup"),
        ("backup.backup.install_id", "another", "retire.no_backup"),
        ("now", "2026-05-15T08:59:59Z", "retire.grace"),
        ("now", "", "retire.grace"),
        ("grace_days", "soon", "retire.grace"),
        ("grace_days", 14.1, "retire.grace"),
        ("confirm", "", "retire.unconfirmed"),
        ("confirm", "another", "retire.unconfirmed"),
        ("backup.only_here", [1], "retire.only_key"),
        ("backup.only_here", None, "retire.only_key"),
        ("known.0.only_here", [2], "retire.only_key"),
        ("known.0.backup", {}, "retire.only_key"),
        ("drop_confirm", "", "retire.drop_unconfirmed"),
        ("drop_confirm", "old", "retire.drop_unconfirmed"),
        ("off_host.why", "no copy", "retire.not_off_host"),
    ],
)
def test_each_condition_that_does_not_hold_is_named_alone(path, value, code):
    found = retirement_missing(changed(path, value))

    assert [one["code"] for one in found] == [code]
    assert "expected" in found[0]["msg"]
    assert found[0]["hint"]


def test_all_that_is_missing_is_told_at_once_in_the_order_of_the_guide():
    assert codes({"drop": True}) == [
        "retire.no_proof", "retire.no_backup", "retire.grace", "retire.unconfirmed",
        "retire.drop_unconfirmed", "retire.not_off_host",
    ]  # fmt: skip
    assert "retire.only_key" in codes({"backup_path": "/b"})


def test_a_backup_that_could_not_be_checked_says_why():
    found = retirement_missing(changed("backup", {"msg": "zones.bson is not what was written", "failure": {}}))

    assert [one["code"] for one in found] == ["retire.no_backup", "retire.only_key"]
    assert "zones.bson is not what was written" in found[0]["msg"]


def test_a_key_that_one_backup_keeps_is_elsewhere_for_the_others_of_the_installation():
    facts = changed("known.0.only_here", [1])

    assert codes(facts) == ["retire.only_key"]
    facts["backup"]["keys"] = {"1": ["backup"]}
    assert codes(facts) == []
    facts["known"][0]["only_here"] = [1, 2]
    assert "needs KEK version 2" in retirement_missing(facts)[0]["msg"]


def test_of_what_an_earlier_run_removed_the_digests_are_enough():
    facts = changed("done", True)
    facts["backup"] = {"backup": {"install_id": "old"}, "opened": None, "of_now": None, "only_here": None}

    assert codes(facts) == []
    assert codes({**facts, "backup": {"msg": "gone"}}) == ["retire.no_backup"]


def test_what_is_dropped_is_asked_for_only_where_it_is_dropped_and_a_report_only_where_one_is_wanted():
    assert codes({**WHOLE, "drop": False, "drop_confirm": "", "off_host": {"why": "none"}}) == []
    assert codes({**WHOLE, "report": {}, "report_path": ""}) == []


def test_an_installation_whose_lock_has_no_id_goes_by_its_time():
    facts = changed("lock", {"install_id": None, "installed_at": "2025-01-01T00:00:00Z"})
    facts["migration"]["source_install_id"] = "foreign-2025-01-01T00:00:00Z"
    facts["report"]["from"] = facts["lock"]
    facts["backup"]["backup"]["install_id"] = None

    assert codes(facts) == []


def test_facts_that_are_none_are_refused():
    with pytest.raises(AnsibleFilterError):
        retirement_missing("lock")
    with pytest.raises(AnsibleFilterError):
        off_host_copy([])


COPY = {
    "path": "/srv/copy",
    "host": "vault1",
    "here": "a\n",
    "there": "b\n",
    "manifest_sha256": "1",
    "copy_sha256": "1",
    "files": {"db/zones.bson": "2"},
    "found": {"db/zones.bson": "2"},
}


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({}, ""),
        ({"path": ""}, "no copy"),
        ({"there": "a"}, "is the machine of the old installation"),
        ({"there": ""}, "no machine id"),
        ({"copy_sha256": ""}, "not a copy of the backup"),
        ({"manifest_sha256": "", "copy_sha256": ""}, "not a copy of the backup"),
        ({"found": {}}, "db/zones.bson is not what was written"),
        ({"files": {}, "found": {}}, "early release"),
    ],
)
def test_a_copy_counts_if_it_is_whole_and_on_another_machine(change, said):
    found = off_host_copy({**COPY, **change})

    assert (said in found) if said else found == ""


def test_backups_of_the_installation_are_found_by_what_they_say():
    def read(folder, text):
        return {"source": f"{folder}/backup.json", "content": base64.b64encode(text.encode()).decode()}

    ours = json.dumps({"install_id": "old", "kek_versions": [1]})
    other = json.dumps({"install_id": "another", "kek_versions": [1]})
    results = [read("/b/2", ours), read("/b/1", ours), read("/b/3", other), read("/b/4", "{"), {"skipped": True}]

    assert backups_of(results, "old") == ["/b/1", "/b/2"]
