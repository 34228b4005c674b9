# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is kept of a migration that failed: what became of units, whom nobody heard, what is left to do."""

from __future__ import annotations

import pytest
from ansible.errors import AnsibleFilterError
from ansible_collections.certautopilot.ops.plugins.filter.report import migration_failure, report_html
from ansible_collections.certautopilot.ops.plugins.plugin_utils._migration_failure import changes

from tests.support.reports import HOSTILE, read

BEFORE = {"active_state": "active", "enabled": True, "retired": False}
NOW = {"active_state": "inactive", "enabled": False, "retired": True}
FACTS = {
    "name": "failed-import-20260501T090000Z",
    "finished": "2026-05-01T09:00:00Z",
    "stage": "import",
    "failed_by": "Import | every record is sealed",
    "failed_task": "Import | every record is sealed",
    "hosts": {"source": ["old1", "old2"], "destination": ["new1"]},
    "unreachable": ["old2"],
    "destination_not_known_to_be_stopped": ["new1"],
    "source_not_known_to_run": ["old1", "old2"],
    "digests": {"last bundle of the source": "a" * 64},
    "stages_started": {"import": "2026-05-01T08:00:00Z"},
    "going_on": "ansible-playbook -i hosts.yml certautopilot.ops.migrate",
    "going_back": "ansible-playbook -i hosts.yml certautopilot.ops.rollback",
    "said": [
        {"host": "old1", "side": "source", "unit_before": BEFORE, "unit_now": NOW, "journal": ["cap: out of memory"]},
        {"host": "new1", "side": "destination", "unit_before": {}, "unit_now": NOW, "journal": []},
    ],
}


@pytest.mark.parametrize(
    ("before", "now", "told"),
    [
        (BEFORE, BEFORE, []),
        (BEFORE, NOW, ["stopped", "disabled", "retired"]),
        (NOW, BEFORE, ["started", "enabled", "brought back"]),
        ({}, NOW, []),
        (BEFORE, {}, []),
    ],
)
def test_what_became_of_a_unit_is_told_from_two_looks_and_of_one_look_nothing_is(before, now, told):
    assert changes(before, now) == told


def test_what_is_left_to_do_names_hosts_and_ends_with_the_two_commands():
    steps = migration_failure(FACTS)["left_to_do"]

    assert steps[0] == "Fix the cause: Import | every record is sealed."
    assert "Make old2 reachable" in steps[1]
    assert "may run on new1" in steps[2]
    assert "not known to run on old1, old2" in steps[3]
    assert [step.split()[-1] for step in steps[4:]] == ["certautopilot.ops.migrate", "certautopilot.ops.rollback"]


def test_where_all_went_back_only_the_cause_and_the_commands_are_left():
    calm = {key: [] for key in ("unreachable", "destination_not_known_to_be_stopped", "source_not_known_to_run")}

    assert len(migration_failure({**FACTS, **calm})["left_to_do"]) == 3


def test_the_page_shows_it_all_and_a_silent_host_as_silent():
    shown = read(report_html(migration_failure(FACTS))).read

    for said in (
        "Failed migration", "stage import", "What is left to do", "cap: out of memory", "stopped, disabled, retired",
        "cannot be reached", "certautopilot.ops.rollback", "a" * 64, "nobody looked",
    ):  # fmt: skip
        assert said in shown


@pytest.mark.parametrize("text", HOSTILE)
def test_whatever_a_journal_says_is_text(text):
    hostile = {**FACTS, "said": [{**FACTS["said"][0], "journal": [text]}]}
    page = report_html(migration_failure(hostile))

    assert "<script>alert" not in page
    assert "<img" not in page
    assert "{{" not in page


def test_facts_that_are_none_are_refused():
    with pytest.raises(AnsibleFilterError):
        migration_failure([])
