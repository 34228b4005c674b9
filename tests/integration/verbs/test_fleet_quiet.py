# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""fleet_quiet over a real server: nobody writes, somebody does, and check mode does not wait."""

from __future__ import annotations

import threading
import time
from datetime import UTC, datetime

import pytest
from ansible_collections.certautopilot.ops.plugins.module_utils._domain.errors import OpsError


@pytest.fixture
def beats(env_site):
    """Return a function that writes a heartbeat of a process so many seconds from now; all are over after the test."""
    timers = []

    def write(process="node-1", after=0.0):
        def beat():
            env_site.db.process_heartbeats.replace_one(
                {"_id": process}, {"hostname": "a.example", "updated_at": datetime.now(UTC)}, upsert=True
            )

        timers.append(threading.Timer(after, beat))
        timers[-1].start()
        if not after:
            timers[-1].join()

    yield write
    for timer in timers:
        timer.cancel()
        timer.join()


def timed(site, **options):
    began = time.monotonic()
    try:
        return site.call("fleet_quiet", **options), time.monotonic() - began
    except OpsError as refusal:
        return refusal, time.monotonic() - began


def test_a_fleet_that_writes_nothing_is_quiet_after_the_whole_time(env_site, beats):
    beats()

    result, took = timed(env_site, quiet_for=2)

    assert (result.changed, took >= 2) == (False, True)
    assert (result.values["quiet_for_s"] >= 2, result.values["fleet"]["live"]) == (True, 1)


@pytest.mark.parametrize("process", ["node-1", "node-2"])
def test_the_first_heartbeat_ends_it_and_names_the_process(env_site, beats, process):
    beats()
    beats(process, after=1.0)

    refusal, took = timed(env_site, quiet_for=30)

    assert (refusal.code, took < 10) == ("service.not_quiesced", True)
    assert f"{process} on a.example" in refusal.message


def test_a_database_without_any_heartbeat_is_quiet(env_site):
    assert timed(env_site, quiet_for=1)[0].values["fleet"]["newest_heartbeat"] == ""


def test_check_mode_looks_once_and_does_not_wait(env_site, beats):
    beats()

    result, took = timed(env_site, quiet_for=30, check=True)

    assert (result.values["quiet_for_s"], took < 10) == (0.0, True)


def test_no_time_at_all_is_refused(env_site):
    assert timed(env_site, quiet_for=0)[0].code == "service.options"
