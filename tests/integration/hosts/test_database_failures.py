# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The host of the database is lost while nothing serves: the run is red or goes on, and no record is lost.

Source and destination have their databases on one server here, so both sides lose theirs at once.
"""

from __future__ import annotations

import threading

import pytest

from tests.support.examples.sides import DATABASE, NEW, OLD

from .aftermath import RETIRED, SERVES, ends_well, serves_by_itself

SOURCE, DESTINATION = OLD[0], NEW[0]
STOPPED = "Stage | done on this host: quiesce"
RECORDED = "Accept | the destination is the installation from now on"
NEXT_TASK = "TASK ["


@pytest.fixture
def unplugged(sides):
    """Return what pulls the cable of the database's host; it is put back after the test in any case."""
    yield lambda _run: sides.hosts.unplug(DATABASE)
    sides.hosts.plug(DATABASE)


def falls_silent(sides, example, unplugged):
    """The run is red and has started no destination, and the source serves once its database is back."""
    failed = sides.play(example, "-e", "migrate_return_after_s=120", at=(STOPPED,), befall=unplugged)
    sides.hosts.plug(DATABASE)

    assert failed.status == 2
    assert "database.unreachable" in failed.said
    assert f"the destination is stopped; the source is NOT known to run on {SOURCE}" in failed.said
    assert serves_by_itself(sides, SOURCE, 150)
    assert sides.state(DESTINATION) == RETIRED
    assert sides.both_served(OLD[:1], NEW[:1]) == []


def boots(sides, example):
    """The run goes on where that was short enough for it, and otherwise the source serves again."""
    booting = threading.Thread(target=sides.hosts.reboot, args=(DATABASE,), kwargs={"power_cut": True})
    done = sides.play(example, at=(STOPPED,), befall=lambda _run: booting.start())
    booting.join()
    print(f"the database's host booted in the freeze: exit status {done.status}")

    assert serves_by_itself(sides, SOURCE if done.status else DESTINATION)
    assert sides.states(SOURCE, DESTINATION) == ([SERVES, RETIRED] if done.status else [RETIRED, SERVES])


def test_a_database_that_is_lost_in_the_freeze_costs_runs_and_no_records(sides, small_example, unplugged):
    falls_silent(sides, small_example, unplugged)
    boots(sides, small_example)

    ends_well(sides, small_example, old=OLD[:1], new=NEW[:1])


@pytest.mark.slow
def test_a_database_that_falls_silent_after_the_acceptance_leaves_a_reason_and_the_next_run_goes_on(
    sides, small_example, unplugged
):
    failed = sides.play(small_example, at=(RECORDED, NEXT_TASK), befall=unplugged)
    sides.hosts.plug(DATABASE)

    assert failed.status == 2
    assert "the source stays retired" in failed.said
    assert "run the playbook again, which starts it" in failed.said
    assert sides.state(SOURCE) == RETIRED
    ends_well(sides, small_example, old=OLD[:1], new=NEW[:1])
