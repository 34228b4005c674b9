# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the role rotate says of a failure: its code, how far it came, what cannot move, and commands to copy."""

from __future__ import annotations

import shlex

import pytest
import yaml
from ansible_collections.certautopilot.ops.plugins.filter.rotation import FilterModule

FILTERS = FilterModule().filters()
first_failure, story = FILTERS["first_failure"], FILTERS["rotation_story"]
share, extra_vars = FILTERS["rotation_share"], FILTERS["extra_vars"]

UNKNOWN = {"code": "rotate.failed", "msg": 'task "x" failed', "hint": "see above", "step": "", "retryable": False}
HOW_FAR = "rotation to-2 is rewrapping: 7 envelope(s) re-wrapped so far, 3 under other versions, 1 of them cannot move"
NOT_READY = {"code": "fleet.not_ready", "step": "gate", "retryable": True, "hint": "wait"}


def failed(code, number):
    return {"place": f"dns/{number}.key", "code": code, "reason": f"reason {number}"}


def evidence(state="rewrapping", active=1, failures=(), to_version=2):
    return {
        "rotation": {
            "id": "to-2",
            "to_version": to_version,
            "state": state,
            "rewrapped": 7,
            "failures": list(failures),
        },
        "active": {"version": active},
        "envelopes": {"total": 10, "by_version": {"1": 3, "2": 7}},
    }


def told(seen, **more):
    return story(seen, 2, forward="go on", back="go back", **more)


def test_the_first_failure_with_a_code_is_the_one_that_is_told():
    fine, skipped, unread = {"failed": False, "failure": {}}, {"skipped": True}, {"failed": True, "msg": "of no code"}
    module = {"failed": True, "msg": "two are late", "failure": NOT_READY}
    later = {"failed": True, "msg": "x", "failure": {**NOT_READY, "code": "rotate.other"}}

    found = first_failure([{}, fine, skipped, unread, module, later], UNKNOWN)

    assert found == {**NOT_READY, "msg": "two are late"}


def test_a_failure_of_require_is_told_without_the_code_and_hint_that_its_line_has_already():
    line = {"failed": True, "msg": "fleet.not_ready: two are late; wait", "failure": NOT_READY}

    assert first_failure([line], UNKNOWN)["msg"] == "two are late"


def test_a_failure_without_a_code_is_the_fallback():
    assert first_failure([{}, {"failed": True, "msg": "bare"}], UNKNOWN) == UNKNOWN


def test_an_unfinished_rotation_can_go_on_and_back():
    assert told(evidence(failures=[failed("envelope.unauthentic", 1)]), kept="evidence: /x") == [
        f"{HOW_FAR}; version 1 is active; nothing was rolled back",
        "dns/1.key: envelope.unauthentic: reason 1",
        "evidence: /x",
        "Fix the cause, then resume with:",
        "go on",
        "or take it back, while version 2 is not active:",
        "go back",
    ]


def test_a_cancellation_that_failed_goes_on_going_back_or_is_completed_after_all():
    lines = told(evidence(), cancels=True)

    assert lines[1:] == ["Fix the cause, then resume with:", "go back", "or complete it after all:", "go on"]


def test_a_cancellation_that_stopped_half_way_says_how_far_back_it_came():
    half = evidence(failures=[failed("envelope.unauthentic", 1)])
    half["rotation"] |= {"id": "to-1", "to_version": 1}

    assert told(half, cancels=True, kept="evidence: /x") == [
        (
            "rotation to version 2 is being taken back: 7 envelope(s) so far, 7 still under it, 1 of them cannot move; "
            "version 1 is active"
        ),
        "dns/1.key: envelope.unauthentic: reason 1",
        "evidence: /x",
        "Fix the cause, then resume with:",
        "go back",
        "or complete it after all:",
        "go on",
    ]


@pytest.mark.parametrize(
    ("state", "active", "back"),
    [
        ("rewrapping", 1, True),
        ("ready", 1, True),
        ("rewrapping", 2, False),
        ("settling", 2, False),
        ("complete", 2, False),
        ("cancelled", 1, False),
    ],
)
def test_only_what_is_not_over_and_not_active_can_be_taken_back(state, active, back):
    assert ("go back" in told(evidence(state, active))) == back


@pytest.mark.parametrize("seen", [evidence(to_version=3), {"rotation": None, "active": {"version": 1}}, {}])
def test_a_rotation_that_has_not_begun_is_not_taken_for_another_one(seen):
    lines = told(seen)

    assert lines[0].startswith("no rotation to version 2 has begun; ")
    assert "go back" not in lines


def test_what_could_not_be_read_is_said_and_both_ways_stay_open():
    lines = told({"failed": True, "msg": "no answer", "failure": {"code": "database.unreachable"}})

    assert lines[0] == "how far it came could not be read: database.unreachable: no answer; nothing was rolled back"
    assert lines[-3:] == ["go on", "or take it back, while version 2 is not active:", "go back"]


@pytest.mark.parametrize(("count", "shown", "last"), [(20, 20, None), (21, 20, "and 1 more")])
def test_at_most_twenty_envelopes_are_listed(count, shown, last):
    lines = told(evidence(failures=[failed("a.b", number) for number in range(count)]))

    assert len([line for line in lines if line.startswith("dns/")]) == shown
    assert (last in lines) == (last is not None)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (({"rotation": {"rewrapped": 3}},), "3 envelope(s) were re-wrapped by this host"),
        (({"rotation": {"rewrapped": 3}}, False, True), "3 envelope(s) would be re-wrapped by this host"),
        (
            ({"rotation": {"rewrapped": 3}, "attempts": 2},),
            "3 envelope(s) were re-wrapped by this host at its last of 2 attempts",
        ),
        (({"skipped": True}, True, True), "the key would be made, then the envelopes re-wrapped"),
        (({"skipped": True},), "another host re-wraps"),
    ],
)
def test_a_host_says_what_it_did(given, said):
    assert share(*given) == said


def test_a_command_names_what_is_not_the_default_and_reads_back_as_it_was_given():
    values = {
        "to": [0, 2],
        "same": [1, "1"],
        "yes": [False, True],
        "no": [True, False],
        "path": ["/a", "/b c/d.yaml"],
        "catalogue": [{}, {"zones": ["spare.secret", "with a blank"]}],
        "list": [[], []],
        "none": ["", ""],
    }

    words = [shlex.split(word) for word in extra_vars(values)]

    assert {flag for flag, _value in words} == {"-e"}
    plain = dict(value.split("=") for _flag, value in words if not value.startswith("{"))
    assert plain == {"to": "2", "yes": "true", "no": "false"}
    structured = [yaml.safe_load(value) for _flag, value in words if value.startswith("{")]
    assert structured == [{"path": "/b c/d.yaml"}, {"catalogue": values["catalogue"][1]}]
    assert not any("\n" in word or '"' in word for word in extra_vars(values))
