# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The benchmark's report: a goal is met, missed or not judged, and table and JSON say the same."""

from __future__ import annotations

import json

import pytest

from tests.performance.report import Goal, Row, document, table

AT_LEAST, AT_MOST = Goal(True, 0.85, "of floor"), Goal(False, 15, "us")


@pytest.mark.parametrize(
    ("goal", "ratio", "met"),
    [
        (AT_LEAST, 0.85, True),
        (AT_LEAST, 0.84, False),
        (AT_MOST, 15.0, True),
        (AT_MOST, 15.1, False),
        (AT_MOST, None, None),
        (None, 1.0, None),
    ],
)
def test_a_goal_is_judged_by_its_figure_and_only_when_both_are_there(goal, ratio, met):
    assert Row("a", 10, 1.0, ratio, goal).is_met is met


def test_a_figure_in_doubt_is_not_judged_but_named():
    row = Row("a", 10, 1.0, 1.3, AT_LEAST, doubt="the floor was unsteady")

    assert row.is_met is None
    assert "unsteady |" in table([row])
    assert table([row]).endswith("- a, 10: the floor was unsteady")


def test_the_rate_is_envelopes_a_second_and_missing_without_a_time():
    assert (Row("a", 10, 4.0).rate, Row("a", 10).rate) == (2.5, None)


def test_the_table_is_aligned_and_names_what_was_missed_and_not_measured():
    rows = [Row("rotate", 2000, 4.0, 0.8, AT_LEAST), Row("rival", 20000, note="not installed")]

    head, rule, first, second, _blank, note = table(rows).splitlines()

    assert len({len(line) for line in (head, rule, first, second)}) == 1
    assert [cell.strip() for cell in first.strip("|").split("|")] == [
        "rotate", "2000", "4.00", "500", "0.80", ">= 0.85 of floor", "no",
    ]  # fmt: skip
    assert second.count(" - ") == 5
    assert note == "- rival, 20000: not installed"


def test_the_json_counts_goals_and_repeats_every_row():
    rows = [Row("a", 10, 1.0, 0.9, AT_LEAST), Row("b", 10, 1.0, 20.0, AT_MOST), Row("c", 10)]

    written = json.loads(json.dumps(document(rows, {"date": "2026-11-24"})))

    assert (written["date"], written["goals"], written["goals_met"]) == ("2026-11-24", 2, 1)
    assert [row["met"] for row in written["rows"]] == [True, False, None]
    assert written["rows"][0]["goal"] == ">= 0.85 of floor"
