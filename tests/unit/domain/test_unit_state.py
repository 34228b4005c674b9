# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What `systemctl show` prints, recorded on Debian 12 and 13, and what it means for somebody who waits."""

from __future__ import annotations

import pytest
from ansible_collections.certautopilot.ops.plugins.module_utils._domain.systemd_show import (
    blocks,
    environment_files,
    seconds,
)
from ansible_collections.certautopilot.ops.plugins.module_utils._domain.unit_state import (
    deaths,
    is_unit_name,
    unit_state,
    why_never_ready,
)

RUNNING = """\
MainPID=812
NRestarts=0
EnvironmentFiles=/etc/certautopilot/secrets.env (ignore_errors=no)
EnvironmentFiles=/etc/default/certautopilot (ignore_errors=yes)
User=certautopilot
Group=certautopilot
ControlGroup=/system.slice/certautopilot.service
Id=certautopilot.service
LoadState=loaded
ActiveState=active
SubState=running
Result=success
UnitFileState=enabled
Job=
NeedDaemonReload=no
AssertResult=yes
AssertTimestampMonotonic=17012000000
"""
MISSING = "Id=nosuch.service\nLoadState=not-found\nActiveState=inactive\nSubState=dead\nAssertResult=no\n"


def state(**changed):
    text = RUNNING
    for name, value in changed.items():
        old = next(line for line in text.splitlines() if line.startswith(f"{name}="))
        text = text.replace(f"{old}\n", f"{name}={value}\n")
    return unit_state(blocks(text)[0])


def test_a_running_unit_is_read():
    running = state()

    assert (running.exists, running.runs, running.is_up, running.enabled, running.has_job) == (
        True,
        True,
        True,
        True,
        False,
    )
    assert (running.main_pid, running.user, running.said()) == (812, "certautopilot", "active (running)")
    assert running.environment_files == (
        ("/etc/certautopilot/secrets.env", False),
        ("/etc/default/certautopilot", True),
    )


def test_a_unit_that_is_not_there_neither_runs_nor_was_kept_from_starting():
    missing = unit_state(blocks(MISSING)[0])

    assert (missing.exists, missing.runs, missing.assert_failed) == (False, False, False)


@pytest.mark.parametrize(
    ("changed", "runs", "is_up"),
    [
        ({"ActiveState": "activating", "SubState": "start-pre"}, True, True),
        ({"ActiveState": "activating", "SubState": "auto-restart"}, True, False),
        ({"ActiveState": "activating", "SubState": "auto-restart-queued"}, True, False),
        ({"ActiveState": "deactivating", "SubState": "stop-sigterm"}, True, False),
        ({"ActiveState": "reloading"}, True, True),
        ({"ActiveState": "failed", "SubState": "failed"}, False, False),
        ({"ActiveState": "inactive", "SubState": "dead"}, False, False),
    ],
)
def test_what_runs_and_what_is_up_are_told_apart(changed, runs, is_up):
    assert (state(**changed).runs, state(**changed).is_up) == (runs, is_up)


DEAD = {"ActiveState": "inactive", "SubState": "dead"}
DUE = {"ActiveState": "activating", "SubState": "auto-restart", "Result": "exit-code"}


@pytest.mark.parametrize(
    ("changed", "before", "why"),
    [
        ({}, 0, ""),
        ({"ActiveState": "activating", "SubState": "start"}, 0, ""),
        ({**DEAD, "Job": "77"}, 0, ""),
        (DUE, 0, ""),
        ({**DUE, "NRestarts": "1"}, 0, "ended 2 times"),
        ({**DUE, "NRestarts": "1"}, 1, ""),
        ({"NRestarts": "2"}, 0, "ended 2 times"),
        ({"NRestarts": "9"}, 9, ""),
        ({"ActiveState": "failed", "SubState": "failed", "Result": "start-limit-hit"}, 0, "start-limit-hit"),
        (DEAD, 0, "ended by itself"),
        ({**DEAD, "AssertResult": "no"}, 0, "Assert"),
        ({**DEAD, "AssertResult": "no", "AssertTimestampMonotonic": "0"}, 0, "ended by itself"),
    ],
)
def test_x73_waiting_ends_where_it_is_of_no_use_any_more(changed, before, why):
    told = why_never_ready(state(**changed), before)

    assert (why in told, bool(told)) == (True, bool(why))


def test_a_count_of_restarts_that_was_set_back_counts_as_none():
    assert deaths(state(NRestarts="0"), 7) == 0


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("4h 52min 9.792582s", 17529.792582), ("500ms", 0.5), ("0", 0.0), ("1y 2month 3w 4d", 38_977_200.0),
        ("infinity", None), ("n/a", None), ("", None), ("5 apples", None),
    ],
)  # fmt: skip
def test_a_time_span_is_read(text, wanted):
    assert seconds(text) == (None if wanted is None else pytest.approx(wanted))


def test_units_are_told_apart_by_the_empty_line_and_noise_is_passed_over():
    shown = blocks("Id=a.timer\nnoise\n\n\nId=b.service\nX=1\nX=2\n")

    assert [unit.text("Id") for unit in shown] == ["a.timer", "b.service"]
    assert (shown[1].all("X"), shown[1].number("X"), shown[1].number("Y")) == (("1", "2"), 2, 0)


def test_an_environment_file_in_another_form_is_taken_for_one_that_must_be_there():
    assert environment_files(("/etc/odd (name)",)) == (("/etc/odd (name)", False),)


@pytest.mark.parametrize("name", ["certautopilot.service", "cap@one.service", "a-b_c.d.service"])
def test_names_of_services(name):
    assert is_unit_name(name)


@pytest.mark.parametrize(
    "name", ["", "--now.service", "-.service", "a.timer", "a b.service", "../a.service", "a/b.service"]
)
def test_what_is_no_name_of_a_service_reaches_no_command(name):
    assert not is_unit_name(name)
