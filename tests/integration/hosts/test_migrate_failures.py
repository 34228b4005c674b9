# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What befalls a migration on real hosts: a controller that dies, hosts that reboot, fall silent or never get healthy.

After each of them: never two sides at once, the source serves or says on each host why it does not, and the next run
ends with every record at the destination.
"""

from __future__ import annotations

import os
import random
import re
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import yaml

from tests.support.examples.sides import CONFIG, NEW, OLD, SECRETS, UNIT

from .aftermath import RETIRED, SERVES, ends_well, serves_by_itself

STOPPED = "Stage | done on this host: quiesce"
RETIREMENT = "Accept | read who of the source was alive last"
RECORDED = "Accept | the destination is the installation from now on"
NEXT_TASK = "TASK ["
ROUNDS = 20


def test_x74_x80_a_controller_that_dies_after_the_source_was_stopped_costs_only_time(sides, example):
    killed = sides.play(example, "-e", "migrate_return_after_s=25", at=(STOPPED,), befall=lambda run: run.kill())
    stopped = sides.states(*OLD)

    assert killed.status == -9
    assert stopped == ["inactive enabled"] * 2
    assert sides.bundles() != []
    assert [serves_by_itself(sides, host) for host in OLD] == [True, True]
    assert sides.states(*OLD, *NEW) == ["active enabled"] * 2 + ["inactive disabled retired"] * 2
    ends_well(sides, example)


def test_x22_of_two_operators_at_once_one_migrates_and_the_other_is_told_who_where_and_since_when(sides, example):
    with ThreadPoolExecutor() as pool:
        runs = list(pool.map(lambda _operator: sides.play(example), range(2)))

    winner, loser = sorted(runs, key=lambda run: run.status or 0)
    assert (winner.status, loser.status) == (0, 2), winner.output[-3000:] + loser.output[-3000:]
    assert re.search(rf"run \w{{12}} of \S+ on \S+ \(process {winner.process.pid}\) since \d{{4}}-", loser.said)
    assert "migrate.turn" in loser.said
    assert set(loser.changed.values()) == {0}, loser.output
    assert sides.states(*OLD, *NEW) == [RETIRED] * 2 + [SERVES] * 2
    assert sides.both_served(OLD, NEW) == []
    found = sides.compared(OLD[0], NEW[0])
    assert (found["differ"], found["reused"]) == ([], 0)


@pytest.mark.parametrize(
    "moment",
    [
        pytest.param((RETIREMENT,), id="before-the-acceptance"),
        pytest.param((RECORDED, NEXT_TASK), id="before-the-start", marks=pytest.mark.slow),
    ],
)
def test_x74_a_controller_that_dies_while_nothing_can_serve_leaves_a_reason_and_the_next_run_goes_on(
    sides, example, moment
):
    killed = sides.play(example, at=moment, befall=lambda run: run.kill())
    left = sides.states(*OLD)
    refused = sides.hosts.run(OLD[0], ["systemctl", "start", UNIT], check=False)
    said = sides.hosts.journal(OLD[0], UNIT)

    assert killed.status == -9
    assert left == ["inactive disabled retired"] * 2
    assert refused.returncode != 0
    assert "migrated to" in said or "etired" in said
    ends_well(sides, example)


@pytest.mark.slow
def test_x72_x75_a_destination_that_never_gets_healthy_is_stopped_and_the_source_is_as_before(sides, example):
    drop_in = f"/etc/systemd/system/{UNIT}.d/90-broken.conf"
    for host in NEW:
        sides.hosts.run(host, ["mkdir", "-p", str(Path(drop_in).parent)])
        sides.hosts.put(host, drop_in, "[Service]\nExecStart=\nExecStart=/bin/false\n", mode="0644")
        sides.hosts.run(host, ["systemctl", "daemon-reload"])

    failed = sides.play(example)

    assert failed.status == 2
    assert "migrate.start: failed at" in failed.said
    assert "the destination is stopped; the source runs and is healthy" in failed.said
    assert sides.states(*OLD, *NEW) == ["active enabled"] * 2 + ["inactive disabled retired"] * 2
    assert [sides.healthy(host) for host in OLD] == [True, True]
    assert sides.switches(*OLD) == []
    for host in NEW:
        sides.hosts.run(host, ["rm", drop_in])
        sides.hosts.run(host, ["systemctl", "daemon-reload"])
        sides.hosts.run(host, ["systemctl", "reset-failed", UNIT], check=False)
    ends_well(sides, example)


@pytest.mark.slow
def test_x74_a_host_of_the_source_that_reboots_in_the_freeze_serves_and_the_migration_goes_back(sides, example):
    booting = threading.Thread(target=sides.hosts.reboot, args=(OLD[1],))

    failed = sides.play(example, at=(STOPPED,), befall=lambda run: booting.start())
    booting.join()

    assert failed.status != 0
    assert [serves_by_itself(sides, host) for host in OLD] == [True, True]
    assert sides.states(*NEW) == ["inactive disabled retired"] * 2
    ends_well(sides, example)


@pytest.mark.slow
def test_x75_a_destination_that_falls_silent_while_it_is_started_keeps_the_source_stopped_and_is_named(sides, example):
    inventory = yaml.safe_load((example / "inventory.yml").read_text())
    inventory["all"]["children"]["destination"]["hosts"] = dict.fromkeys(NEW[:1])
    (example / "inventory.yml").write_text(yaml.safe_dump(inventory))
    try:
        failed = sides.play(example, at=(RECORDED, NEXT_TASK), befall=lambda run: sides.hosts.unplug(NEW[0]))
        left = sides.states(*OLD)
    finally:
        sides.hosts.plug(NEW[0])

    assert failed.status != 0
    assert "migrate.rollback" in failed.said
    assert f"{NEW[0]} may have been started and could not be stopped" in failed.said
    assert "the source runs" not in failed.said
    assert left == ["inactive disabled retired"] * 2
    second = sides.play(example)
    assert second.status == 0, second.output[-5000:]
    assert sides.states(*OLD, NEW[0]) == ["inactive disabled retired"] * 2 + ["active enabled"]
    assert sides.both_served(OLD, NEW) == []


@pytest.mark.slow
def test_x74_killed_at_random_moments_it_never_serves_twice_and_every_next_run_goes_on(sides, example):
    seed = int(os.environ.get("MIGRATE_SEED", time.time()))
    chance = random.Random(seed)
    print(f"MIGRATE_SEED={seed}")
    arguments = ("-e", "migrate_return_after_s=60")
    undisturbed = sides.play(example, *arguments)
    assert undisturbed.status == 0, undisturbed.output[-4000:]
    whole = undisturbed.lines[-1][0] - undisturbed.lines[0][0]
    for number in range(ROUNDS):
        if sides.state(NEW[0]).startswith("active"):
            sides.clear()
            sides.install("env", *OLD)
        after = chance.uniform(0.2, 1.0) * whole
        killed = sides.play(example, *arguments, befall=lambda run: run.kill(), after_s=after)
        last = [line for _when, line in killed.lines if line.startswith("TASK [")][-1:]
        where = f"MIGRATE_SEED={seed}, round {number}, killed after {after:.1f} s at {last}"
        time.sleep(3)  # a module that had begun ends
        serving = [serves_by_itself(sides, host, 90) for host in OLD]
        states = sides.states(*OLD, *NEW)
        print(where, states)
        served = all(serving) or any(state.startswith("active") for state in states[2:])
        assert served or all("retired" in state for state in states[:2]), where
        assert sides.both_served(OLD, NEW) == [], where
    ends_well(sides, example)
    assert sides.hosts.read(NEW[0], CONFIG)
    assert sides.hosts.read(NEW[0], SECRETS) == sides.hosts.read(NEW[1], SECRETS)
