# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Slices of a rotation, run against a module that is a list of answers and a clock that only moves when told to.

As the module does, each answer counts for all slices so far.
"""

from __future__ import annotations

import pytest
from ansible_collections.certautopilot.ops.plugins.plugin_utils._slices import (
    STALLED_AFTER,
    STALLED_AFTER_S,
    Limits,
    run_slices,
)


def answer(rewrapped, remaining, state="rewrapping", **more):
    rotation = {
        "id": "to-2", "state": state, "from_versions": [1], "to_version": 2, "rewrapped": rewrapped,
        "remaining": remaining, "conflicts": 0, "failures": [], **more.pop("rotation", {}),
    }  # fmt: skip
    return {"changed": bool(rewrapped), "rotation": rotation, **more}


def failed(code, **more):
    return {"failed": True, "msg": code, "failure": {"code": code}, **more}


class Play:
    """What run_slices sees of the world. took_s: how long each slice takes, its max_seconds when None."""

    def __init__(self, answers, *, took_s=None):
        self.answers = list(answers)
        self.took_s = took_s
        self.spans, self.lines, self.slept = [], [], []
        self.now = 1000.0

    def execute(self, span_s):
        self.spans.append(span_s)
        self.now += span_s if self.took_s is None else self.took_s
        return self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]

    def sleep(self, seconds):
        self.slept.append(seconds)
        self.now += seconds

    def run(self, slice_s=5, overall_s=0):
        limits = Limits(slice_s, overall_s)
        return run_slices(
            self.execute, limits, say=self.lines.append, clock=lambda: self.now, sleep=self.sleep
        )  # fmt: skip


def test_slices_give_one_result_with_a_line_each_and_nothing_is_added_up_here():
    play = Play([
        answer(100, 200, rotation={"conflicts": 1, "from_versions": [1, 3]}),
        answer(250, 50, rotation={"conflicts": 3, "from_versions": [1, 3]}),
        answer(300, 0, "complete", rotation={"conflicts": 3, "from_versions": [1, 3]}),
    ])  # fmt: skip

    result = play.run()

    assert result == {"changed": True, "rotation": {
        "id": "to-2", "state": "complete", "from_versions": [1, 3], "to_version": 2, "rewrapped": 300,
        "remaining": 0, "conflicts": 3, "failures": [],
    }}  # fmt: skip
    assert play.spans == [5, 5, 5]
    assert [line.split(": ")[1].split(",")[0] for line in play.lines] == ["33%", "83%", "100%"]


def test_nothing_to_do_is_one_slice_and_no_change():
    play = Play([answer(0, 0, "complete")])

    assert play.run() == answer(0, 0, "complete")
    assert len(play.spans) == 1


def test_a_change_in_an_earlier_slice_is_a_change():
    play = Play([answer(9, 1), {**answer(9, 0, "complete"), "changed": False}])

    assert play.run()["changed"] is True


def test_the_diff_goes_from_the_first_before_to_the_last_after():
    play = Play([
        answer(1, 1, diff={"before": {"1": 2}, "after": {"1": 1, "2": 1}}),
        answer(2, 0, "complete", diff={"before": {"1": 2}, "after": {"2": 2}}),
    ])  # fmt: skip

    assert play.run()["diff"] == {"before": {"1": 2}, "after": {"2": 2}}


def test_without_diff_there_is_none():
    assert "diff" not in Play([answer(1, 1), answer(1, 0, "complete")]).run()


def test_a_warning_of_every_slice_is_returned_once():
    play = Play([answer(1, 2, warnings=["a"]), answer(1, 1, warnings=["a", "b"]), answer(1, 0, "complete")])

    assert play.run()["warnings"] == ["a", "b"]


def test_settling_goes_on_until_complete():
    play = Play([answer(5, 0, "settling"), answer(0, 0, "settling"), answer(0, 0, "complete")])

    assert play.run()["rotation"]["state"] == "complete"
    assert "waiting for writers" in play.lines[0]


def test_an_unknown_state_ends_the_loop():
    assert len(Play([answer(5, 3, "cancelled")]).spans) == 0
    play = Play([answer(5, 3, "cancelled")])

    assert play.run()["rotation"]["state"] == "cancelled"
    assert len(play.spans) == 1


@pytest.mark.parametrize(
    ("overall_s", "took_s", "spans"),
    [(12, None, [5, 5, 2]), (3, None, [3]), (6, 5.5, [5, 1])],
)
def test_the_tasks_own_limit_holds_over_all_slices(overall_s, took_s, spans):
    play = Play([answer(n + 1, 1000 - n) for n in range(100)], took_s=took_s)

    result = play.run(overall_s=overall_s)

    assert play.spans == spans
    assert (result["rotation"]["state"], result["rotation"]["rewrapped"]) == ("rewrapping", len(spans))


def test_a_failure_is_returned_at_once_with_what_was_rewrapped_before():
    play = Play([answer(100, 200), answer(200, 100), failed("database.unreachable"), answer(300, 0, "complete")])

    result = play.run()

    assert len(play.spans) == 3
    assert (result["failed"], result["failure"]) == (True, {"code": "database.unreachable"})
    assert (result["changed"], result["rotation"]["rewrapped"], result["rotation"]["remaining"]) == (True, 200, 100)
    assert len(play.lines) == 2


def test_a_failure_of_the_first_slice_is_returned_as_it_is():
    play = Play([failed("rotate.target_not_loaded")])

    assert play.run() == {**failed("rotate.target_not_loaded"), "changed": False}
    assert (len(play.spans), play.lines) == (1, [])


def test_envelopes_that_cannot_move_do_not_keep_the_rest_from_moving():
    poisoned = {"failures": [{"place": "a"}]}
    play = Play([
        failed("rotate.incomplete", **answer(10, 21, rotation=poisoned)),
        failed("rotate.incomplete", **answer(30, 1, rotation=poisoned)),
    ])  # fmt: skip

    result = play.run()

    assert play.spans == [5, 10]
    assert result["failure"]["code"] == "rotate.incomplete"
    assert (result["rotation"]["rewrapped"], result["rotation"]["remaining"]) == (30, 1)
    assert result["rotation"]["failures"] == [{"place": "a"}]


def test_a_slice_that_ended_early_left_only_what_cannot_move():
    more_than_are_listed = failed("rotate.incomplete", **answer(0, 2000, rotation={"failures": [{}] * 1000}))
    play = Play([more_than_are_listed], took_s=1.0)

    play.run()

    assert len(play.spans) == 1


def test_another_failure_while_envelopes_remain_is_final():
    play = Play([failed("rotate.fenced", **answer(10, 21))])

    play.run()

    assert len(play.spans) == 1


def test_a_rotation_that_gets_no_further_stops_as_stalled():
    play = Play([answer(10, 50), answer(10, 50)])

    result = play.run()

    assert len(play.spans) == STALLED_AFTER + 1
    assert result["failed"] is True
    assert (result["failure"]["code"], result["failure"]["step"]) == ("rotate.stalled", "rewrapping")
    assert sorted(result["failure"]) == ["code", "hint", "retryable", "step"]
    assert (result["changed"], result["rotation"]["rewrapped"]) == (True, 10)


def test_a_writer_that_refills_as_fast_as_we_rewrap_is_a_stall():
    play = Play([answer(10, 3)])

    assert play.run()["failure"]["code"] == "rotate.stalled"


def test_progress_before_the_twentieth_slice_starts_the_count_anew():
    waits = [answer(0, 50)] * (STALLED_AFTER - 1)
    play = Play([answer(10, 50), *waits, answer(1, 49), *waits, answer(49, 0, "complete")])

    assert play.run()["rotation"]["state"] == "complete"


def test_what_another_host_rewraps_is_progress():
    play = Play([*[answer(0, 100 - n) for n in range(60)], answer(1, 0, "complete")])

    assert play.run()["rotation"]["state"] == "complete"


def test_a_slice_without_progress_that_was_over_early_is_waited_out():
    play = Play([answer(1, 2), answer(0, 2), answer(2, 0, "complete")], took_s=0.5)

    play.run()

    assert play.slept == [4.5]


def test_a_count_that_ansible_masked_does_not_break_the_loop():
    masked = "VALUE_SPECIFIED_IN_NO_LOG_PARAMETER"
    play = Play([answer(masked, 10), answer(10, 0, "complete")])

    assert play.run()["rotation"]["rewrapped"] == 10


def test_a_killed_process_that_holds_the_last_range_for_a_lease_is_no_stall():
    waits = [answer(10, 5)] * (STALLED_AFTER_S - 1)
    play = Play([answer(10, 5), *waits, answer(15, 0, "complete")], took_s=1.0)

    assert play.run(slice_s=1)["rotation"]["state"] == "complete"


def test_short_slices_that_get_no_further_stall_after_as_many_seconds():
    play = Play([answer(10, 5)], took_s=1.0)

    assert play.run(slice_s=1)["failure"]["code"] == "rotate.stalled"
    assert len(play.spans) == STALLED_AFTER_S + 1


def test_how_long_the_fleet_is_waited_for_is_the_modules_to_say():
    waits = [answer(5, 0, "settling")] * (10 * STALLED_AFTER)
    play = Play([*waits, failed("rotate.not_settled", **answer(5, 0, "settling"))])

    assert play.run()["failure"]["code"] == "rotate.not_settled"


def test_a_rotation_that_is_ready_for_the_swap_is_over():
    play = Play([answer(5, 0, "ready")])

    assert play.run()["rotation"]["state"] == "ready"
    assert len(play.spans) == 1
