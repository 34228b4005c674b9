# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The host of the database is lost while nothing serves: the run ends red or goes on, and no record is lost.

Source and destination have their databases on one server here, so both sides lose theirs at once.
"""

from __future__ import annotations

import threading

import pytest

from tests.support.examples.sides import DATABASE, NEW, OLD

from .aftermath import ALL_WELL, GONE_BACK, ends_well, serves_by_itself

STOPPED = "Stage | done on this host: quiesce"
RECORDED = "Accept | the destination is the installation from now on"
NEXT_TASK = "TASK ["


@pytest.fixture
def unplugged(sides):
    """Return what pulls the cable of the database's host; it is put back after the test in any case."""
    yield lambda _run: sides.hosts.unplug(DATABASE)
    sides.hosts.plug(DATABASE)


def test_a_database_whose_host_loses_power_in_the_freeze_costs_a_run_at_most(sides, example):
    booting = threading.Thread(target=sides.hosts.reboot, args=(DATABASE,), kwargs={"power_cut": True})

    done = sides.play(example, at=(STOPPED,), befall=lambda _run: booting.start())
    booting.join()

    print(done.status, done.said[-1500:])
    if done.status == 0:
        assert sides.states(*OLD, *NEW) == ALL_WELL
    else:
        assert [serves_by_itself(sides, host) for host in OLD] == [True, True]
        assert sides.states(*OLD, *NEW) == GONE_BACK
    ends_well(sides, example)


def test_a_database_that_falls_silent_in_the_freeze_starts_no_destination_and_the_source_waits_for_it(
    sides, example, unplugged
):
    failed = sides.play(example, "-e", "migrate_return_after_s=120", at=(STOPPED,), befall=unplugged)
    print(failed.status, failed.said[-3000:])
    print(sides.states(*OLD, *NEW), sides.switches(*OLD))
    sides.hosts.plug(DATABASE)

    assert failed.status == 2
    assert [serves_by_itself(sides, host, 150) for host in OLD] == [True, True]
    assert sides.states(*NEW) == GONE_BACK[2:]
    ends_well(sides, example)


def test_a_database_that_falls_silent_after_the_acceptance_leaves_a_reason_and_the_next_run_goes_on(
    sides, example, unplugged
):
    failed = sides.play(example, at=(RECORDED, NEXT_TASK), befall=unplugged)
    print(failed.status, failed.said[-3000:])
    print(sides.states(*OLD, *NEW), sides.switches(*OLD))
    sides.hosts.plug(DATABASE)

    assert failed.status == 2
    ends_well(sides, example)
