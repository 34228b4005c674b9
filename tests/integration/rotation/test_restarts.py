# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Any process killed and started again in any phase of a rotation, under load: reads and writes work all the time."""

from __future__ import annotations

import os
import signal
import time

import pytest

from tests.chaos import judging
from tests.chaos.rotating import Rotating
from tests.chaos.scene import Load, scene

CONSTANTS = {"LEASE_S": 1, "LIVE_FOR_S": 6}  # a killed service process counts as live for so long
# phase: where the rotating process stops itself, the state that its record shows then, the active version
PHASES = {
    "rewrapping": ({"fail_point": "write_batch", "nth": 2}, "rewrapping", 1),
    "swapping": ({"fail_point": "swap_active", "nth": 1}, "swapping", 1),
    "swapped": ({"fail_point": "repair_row_states", "nth": 1}, "swapping", 2),
    "settling": ({"fail_point": "read_heartbeats", "nth": 2}, "settling", 2),
}
WAIT_S = 60.0
LOAD = Load(2, 20.0, 20.0)


@pytest.fixture
def stage(new_site):
    """An installation under load, with two service processes."""
    with scene(new_site()) as made:
        made.install(60)
        made.before = judging.fingerprints(made.site)
        made.serving = [made.serve("api"), made.serve("worker")]
        made.work(LOAD)
        yield made


def rotating(stage, stop=None):
    return Rotating(stage.site, constants=CONSTANTS, stop=stop, to_version=2, batch_size=20)


def acknowledged(stage):
    return sum(judging.acknowledged_by_version(stage.write_logs).values())


def writes_go_on(stage):
    """Wait for more acknowledged writes. Raises AssertionError when none come."""
    wanted, deadline = acknowledged(stage) + 5, time.monotonic() + WAIT_S
    while acknowledged(stage) < wanted:
        assert time.monotonic() < deadline, "no write was acknowledged any more"
        time.sleep(0.05)


@pytest.mark.parametrize("killed", [False, True], ids=["it_goes_on", "it_is_killed_too"])
@pytest.mark.parametrize("phase", PHASES)
def test_t40_services_writers_and_readers_restarted_in_any_phase_find_everything_readable_and_the_rotation_ends(
    stage, phase, killed
):
    stop, state, active = PHASES[phase]
    process = rotating(stage, stop)
    process.wait_until_stopped()
    shown = stage.rotation(2)["state"], stage.site.db.kek_versions.find_one({"_id": "active"})["version"]

    writes_go_on(stage)
    for service in stage.serving:
        os.kill(service.pid, signal.SIGKILL)
        service.wait()
        stage.serve()
    wrong = stage.end_work()
    stage.work(LOAD)
    writes_go_on(stage)
    if killed:
        process.kill()
        first = process.outcome()
        process = rotating(stage)
    else:
        process.signal(signal.SIGCONT)
    ended = process.outcome()
    writes_go_on(stage)
    wrong += stage.end_work()

    assert shown == (state, active)
    assert (ended.code, ended.state) == ("", "complete")
    assert not killed or first.code == "killed"
    assert wrong == []
    assert stage.reads()["failed"] == 0
    assert stage.reads()["opened"] > 0
    verdict = judging.judge(stage.site, stage.before, judging.written(stage.write_logs), 2)
    assert verdict.places == []
    assert verdict.opened == verdict.envelopes > 60
    assert not any(log.with_name(f"{log.name}.unanswered").stat().st_size for log in stage.write_logs)
