# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What reports say of the time in which nothing serves, of space, and of what blocks a migration."""

from __future__ import annotations

import pytest
from ansible_collections.certautopilot.ops.plugins.filter.migration import (
    freeze_by_cause,
    rehearsal_blockers,
    rehearsal_forecast,
    rehearsal_space,
)

BEGAN, ENDED = "2026-05-01T21:00:00.250000+00:00", "2026-05-01T21:00:24.750000+00:00"


def test_of_hosts_side_by_side_the_slowest_counts_and_what_follows_each_other_is_added():
    freeze = freeze_by_cause(BEGAN, ENDED, {"stop": [1.9, 4.0]}, {"reads": [2.25, 0.5, 1.0]})

    assert freeze["by_cause"] == {"stop": 4.0, "reads": 3.8, "rest": 16.8}
    assert freeze["seconds"] == 24.5
    assert freeze["said"] == "24.5 s (stop 4.0, reads 3.8, rest 16.8)"


@pytest.mark.parametrize("unmeasured", [[], [None], [""], ["0"]])
def test_what_was_not_measured_is_in_the_rest_and_not_named(unmeasured):
    freeze = freeze_by_cause(BEGAN, ENDED, {"stop": unmeasured}, {"reads": unmeasured})

    assert freeze["by_cause"]["rest"] == 24.5
    assert freeze["said"] == "24.5 s (rest 24.5)"


def test_numbers_that_templates_made_text_of_are_numbers():
    assert freeze_by_cause(BEGAN, ENDED, {"stop": ["1.5"]}, {"reads": ["2.0", 1]})["by_cause"]["reads"] == 3.0


def test_a_forecast_takes_the_slowest_host_and_adds_what_was_not_rehearsed():
    took = [{"backup": 4.0, "differences": 1.0}, {"backup": 1.0, "differences": "2.5", "proof": 1.5}, {}]

    forecast = rehearsal_forecast(took, "0.5", 35)

    assert forecast["stages"] == {"backup": 4.0, "differences": 2.5, "proof": 1.5}
    assert forecast["freeze"]["by_cause"] == {
        "stop": 2.0, "quiescence": 35.0, "start": 3.0, "lines": 4.5, "differences": 2.5, "proof": 1.5
    }  # fmt: skip
    assert forecast["seconds"] == 4.0 + forecast["freeze"]["seconds"] == 52.5


def test_space_is_read_from_what_du_and_df_print():
    assert rehearsal_space(["/var/lib"], ["4096\t/var/lib/rehearsal"], ["  Avail\n10000"]) == {
        "/var/lib": {"needed_bytes": 4096, "free_bytes": 10000}
    }


def blocker(host, code, found):
    return {"host": host, "task": "Empty", "code": code, "msg": found, "hint": "use an empty one", "step": ""}


def test_a_host_that_waited_in_vain_is_no_cause():
    full, waited = (
        blocker("a", "file.no_space", "the disk is full"),
        blocker("b", "migrate.rehearsal", "a did not finish"),
    )

    assert [one["said"] for one in rehearsal_blockers([[full], [waited], []])] == ["a: the disk is full"]
    assert [one["host"] for one in rehearsal_blockers([[], [waited]])] == ["b"]


def test_what_blocks_a_migration_is_told_with_its_host_and_the_way_out():
    assert rehearsal_blockers([[blocker("new", "migrate.empty", "it holds records")]]) == [
        {"host": "new", "task": "Empty", "code": "migrate.empty", "found": "it holds records",
         "way_out": "use an empty one", "said": "new: it holds records"}
    ]  # fmt: skip
