# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Reports: the JSON puts side by side what modules counted, the page shows it and needs nothing but itself."""

from __future__ import annotations

import json
import re
from functools import cache

import pytest
from ansible.errors import AnsibleFilterError
from ansible_collections.certautopilot.ops.plugins.filter.migration import rehearsal_forecast
from ansible_collections.certautopilot.ops.plugins.filter.report import migration_report, report_html, rotation_report
from ansible_collections.certautopilot.ops.plugins.module_utils._domain.what_travels import BOOKKEEPING
from ansible_collections.certautopilot.ops.plugins.plugin_utils._markup import as_seen
from ansible_collections.certautopilot.ops.plugins.plugin_utils._report_table import ROWS

from tests.support.reports import COLLECTIONS, HOSTILE, STAGES, all_facts, facts, read, rotation


@cache
def pages():
    """Return name -> page, made from JSON as it was written."""
    told = {name: migration_report(known) for name, known in all_facts().items()} | {
        "rotation": rotation_report(rotation(), [])
    }
    return {name: report_html(json.loads(json.dumps(report))) for name, report in told.items()}


def what(report):
    return {one["what"]: one for one in report["not_travelled"]}


def test_each_stage_ends_when_the_next_one_begins_and_the_frozen_ones_are_marked():
    stages = migration_report(facts())["stages"]

    assert [one["name"] for one in stages] == [*STAGES]
    assert [one["ended"] for one in stages[:-1]] == [one["began"] for one in stages[1:]]
    assert [one["name"] for one in stages if one["frozen"]] == ["quiesce", "differences", "proof", "accept", "start"]


def test_each_collection_has_its_counts_of_both_sides():
    by_name = {one["name"]: one for one in migration_report(facts())["collections"]}

    assert {name: (one["exported"], one["equal"]) for name, one in by_name.items()} == {
        name: (count, count) for name, count in COLLECTIONS.items()
    }
    assert (by_name["audit_logs"]["changed"], by_name["api_keys"]["removed"]) == (38, 1)
    assert by_name["certificate_private_keys"]["envelopes"] == 8210


def test_each_project_has_its_counts_and_those_of_none_come_last():
    projects = migration_report(facts(("a", "b")))["projects"]

    assert [one["name"] for one in projects] == ["a", "b", ""]
    assert projects[0]["exported"] == projects[0]["equal"] > 0
    assert (projects[0]["changed"], projects[-1]["id"]) == (3, "")


def test_each_project_says_how_many_of_its_certificates_run_out_soon():
    report = migration_report(facts(("a", "b")))

    assert [one["expiring"] for one in report["projects"]] == [2, 1, 0]
    assert "Certificates that run out soon" in report_html(report).partition("By project")[2]


def test_a_certificate_that_ran_out_while_nothing_served_is_told():
    made = facts()
    stopped = made["stages_started"]["quiesce"]
    made["first"]["expiring"]["certificates"][1]["not_after"] = stopped

    report = migration_report(made)

    assert report["expiring"]["while_frozen"] == ["b"]
    assert "1 of them ran out while nothing served" in report_html(report)
    assert migration_report(facts())["expiring"]["while_frozen"] == []


def test_all_bookkeeping_is_said_to_stay():
    stayed = " ".join(what(migration_report(facts())))

    assert {name for name in BOOKKEEPING if name not in stayed} == set()


def test_a_secret_that_travelled_is_not_said_to_stay_and_one_that_stayed_says_what_stops():
    stayed = what(migration_report(facts()))

    assert "CERTAUTOPILOT_API_KEY_PEPPER" not in stayed
    assert "session" in stayed["CERTAUTOPILOT_JWT_SECRET"]["effect"]
    assert "audit verify" in stayed["CERTAUTOPILOT_AUDIT_SECRET"]["effect"]
    assert stayed["CERTAUTOPILOT_DATABASE_URI"]["effect"] == "nothing"


def test_views_and_options_that_stay_are_named():
    stayed = what(migration_report(facts()))

    assert {"view or time series expiring_soon", "api_keys: option capped"} <= set(stayed)


def test_the_way_back_names_hosts_and_units():
    playbook, stop, start, *_rest = migration_report(facts())["going_back"]

    assert "certautopilot.ops.rollback" in playbook["do"]

    assert stop["command"] == "systemctl disable --now certautopilot.service"
    assert "rm /etc/systemd/system/certautopilot.service.d/50-certautopilot-retired.conf" in start["command"]
    assert start["command"].endswith("systemctl enable --now certautopilot.service")
    assert start["on"] == "old1.example.com, old2.example.com"


def test_no_command_is_named_where_the_units_are_not_one():
    report = migration_report({**facts(), "units": {"source": ["a", "b"], "destination": []}})

    assert {one["command"] for one in report["going_back"]} == {""}


def test_facts_that_are_missing_leave_the_report_empty():
    report = migration_report({})

    assert (report["records"], report["stages"], report["projects"], report["kind"]) == (0, [], [], "migration")
    assert "0 of 0" in report_html(report)


@pytest.mark.parametrize("name", sorted(pages()))
def test_a_page_needs_nothing_but_itself(name):
    made = read(pages()[name])

    assert "script" not in made.names
    assert {key for key, _value in made.attributes} & {"src", "srcset", "style", "onload", "xlink:href"} == set()
    assert all(value.startswith("#") for key, value in made.attributes if key == "href")
    assert re.findall(r"url\(|@import|https?:", pages()[name]) == []


def test_hostile_names_are_text():
    page = pages()["hostile"]
    made = read(page)

    assert all(as_seen(name) in made.read for name in HOSTILE)
    assert {"script", "img"} & set(made.names) == set()
    assert re.findall(r"\{\{|\{%|\{#", page) == []
    assert [one for one in page if ord(one) < 32 and one != "\n"] == []


def test_two_thousand_projects_make_a_page_that_can_be_read():
    page = pages()["many"]

    assert len(page) < 100_000
    assert f"and 1\u202f{2001 - ROWS - 1000} more, see the JSON" in page
    assert len(migration_report(facts(tuple(map(str, range(2000)))))["projects"]) == 2001


def test_times_of_a_page_are_rfc_3339_with_z():
    told = re.findall(r"\d{4}-\d\d-\d\dT[0-9:.]+\S?", read(pages()["migration"]).read)

    assert told
    assert {one for one in told if not re.fullmatch(r"[0-9-]{10}T\d\d:\d\d:\d\dZ", one)} == set()


def test_the_page_is_made_of_the_json_alone():
    report = migration_report(facts())

    assert report_html(json.loads(json.dumps(report))) == report_html(report)


def test_a_loss_is_the_first_thing_said():
    page = read(pages()["lost"]).read

    assert "58 of 60 records" in page
    assert "None was lost" not in page


@pytest.mark.parametrize("report", ["text", {}, {"kind": "party"}, rotation()])
def test_what_is_no_report_is_refused(report):
    with pytest.raises(AnsibleFilterError, match="found kind"):
        report_html(report)


def test_facts_that_are_no_dictionary_are_refused():
    with pytest.raises(AnsibleFilterError, match="list"):
        migration_report([])


def test_a_rotation_reports_its_record_and_its_keys_and_the_way_on():
    report = rotation_report(rotation(), ["node1"])

    assert (report["kind"], report["began"], report["finished"]) == (
        "rotation", "2026-05-01T20:00:00Z", "2026-05-01T20:12:31Z",
    )  # fmt: skip
    assert [one["check_value"] for one in report["keys"]["installation"]["versions"]] == ["96a7ab", "c40d1e"]
    assert report["retiring"][1]["command"] == "-e rotate_to_version=2 -e rotate_remove_version=1"


def test_an_envelope_that_cannot_move_is_named_on_the_page():
    info = rotation()
    info["rotation"] |= {"state": "failed", "failures": [{"place": "users/7.totp", "code": "x.y", "reason": "<b>"}]}

    page = read(report_html(rotation_report(info, []))).read

    assert all(word in page for word in ("users/7.totp", "x.y", "<b>", "1 cannot move"))


@pytest.mark.parametrize("info", ["text", {}, {"rotation": None}])
def test_what_tells_of_no_rotation_is_refused(info):
    with pytest.raises(AnsibleFilterError, match="kek_info"):
        rotation_report(info, [])


def test_a_rehearsal_has_no_freeze_and_no_way_back():
    report = migration_report({**facts(), "kind": "rehearsal"})

    assert {one["frozen"] for one in report["stages"]} == {False}
    assert (report["going_back"], report["retiring"]) == ([], [])
    assert "the source serves" in read(report_html(report)).read


def rehearsed(**known):
    forecast = rehearsal_forecast([{"backup": 75.0, "differences": 2.0, "proof": 1.0}], 0.5, 35)
    own = {"forecast": forecast, "space": {}, "blockers": [], **known}
    return {**migration_report({**facts(), "kind": "rehearsal"}), **own}


def test_the_page_of_a_rehearsal_says_how_long_the_migration_will_take_and_its_space():
    space = {"source": {"/var/backups": {"needed_bytes": 1_234_567, "free_bytes": 9_000_000_000}}}

    said = read(report_html(rehearsed(space=space))).read

    for told in ("48 s", "1 min 15 s", "35 s", "/var/backups", "1.2 MB", "9.0 GB", "the source serves"):
        assert told in said
    assert "What blocks" not in said


def test_the_page_of_a_rehearsal_that_is_blocked_says_by_what_and_forecasts_nothing():
    blocker = {
        "host": "new",
        "found": "it holds <b>records</b>",
        "way_out": "use an empty one",
        "code": "migrate.empty",
    }

    said = read(report_html(rehearsed(blockers=[blocker], forecast=rehearsal_forecast([], 0, 35)))).read

    assert "1 thing(s) block the migration" in said
    assert [one for one in blocker.values() if one not in said] == []
    assert "will take" not in said


def test_of_a_rehearsal_that_was_not_run_nothing_is_told_that_it_did_not_see():
    report = migration_report({"kind": "rehearsal", "finished": "2026-05-01T21:00:00Z"})

    assert (report["not_travelled"], report["notes"]) == ([], [])
    assert 'class="numbers"' not in report_html(report)


def test_a_project_that_is_not_equal_is_not_cut_off():
    known = facts(tuple(f"p{number}" for number in range(2 * ROWS)))
    known["first_proof"]["equal_by"]["project"] = {**known["first"]["by_project"], f"{2 * ROWS:024x}": 1}

    assert f"p{2 * ROWS - 1}" in read(report_html(migration_report(known))).read
