# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The days after a migration on real hosts: retired for good and dropped, or gone back, and one screen of it all.

What each playbook refuses is tried on this machine: test_retire_playbook.py, test_rollback_playbook.py.
"""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor

from tests.support.examples import prepared
from tests.support.examples.sides import NEW, OLD, UNIT

from .aftermath import RETIRED, SERVES

COPY = "/srv/copy"
RETIRES = {
    "retire_old_install_confirm": "certautopilot",
    "retire_old_install_backup": prepared.BACKUP,
    "retire_old_install_identity_file": prepared.IDENTITY,
}
DROPS = {
    "retire_old_install_drop_database": True,
    "retire_old_install_drop_confirm": "certautopilot",
    "retire_old_install_off_host": NEW[0],
    "retire_old_install_off_host_backup": COPY,
}


def migrated(sides, example):
    done = sides.play(example)
    assert done.status == 0, done.output[-4000:]


def retire(sides, example, **options):
    return sides.play(example, "-e", json.dumps({**RETIRES, **options}), playbook="retire_old_install")


def copied_off_host(sides):
    """Put a copy of the backup on another host, as an operator does."""
    packed = sides.hosts.run(
        OLD[0], ["sh", "-c", f"tar --create --gzip --directory {prepared.BACKUP} . | base64"]
    ).stdout
    unpack = f"rm -rf {COPY}; mkdir -m 0700 {COPY}; base64 --decode | tar --extract --gzip --directory {COPY}"
    sides.hosts.run(NEW[0], ["sh", "-c", unpack], given=packed)


def test_x72_what_is_retired_for_good_serves_at_no_boot_and_is_dropped_only_with_a_copy_elsewhere(sides, example):
    migrated(sides, example)
    prepared.weeks_later(sides, example)
    unconfirmed = retire(sides, example, retire_old_install_confirm="")
    retired = retire(sides, example)
    again = retire(sides, example)
    with ThreadPoolExecutor() as pool:
        list(pool.map(sides.hosts.reboot, OLD))
    after_a_boot = sides.states(*OLD, *NEW)
    by_hand = [sides.hosts.run(host, ["systemctl", "start", UNIT], check=False).returncode for host in OLD]
    restored = prepared.restored_elsewhere(sides, example, OLD[0], NEW[1])
    without_a_copy = retire(sides, example, **DROPS)
    copied_off_host(sides)
    dropped = retire(sides, example, **DROPS)
    dropped_again = retire(sides, example, **DROPS)
    gone_back = sides.play(example, "-e", "rollback_accept_loss=true", playbook="rollback")

    assert (unconfirmed.status, "retire.unconfirmed" in unconfirmed.said) == (2, True)
    assert (retired.status, again.status) == (0, 0), retired.output[-4000:] + again.output[-4000:]
    assert set(again.changed.values()) == {0}
    assert after_a_boot == [RETIRED] * 2 + [SERVES] * 2
    assert 0 not in by_hand
    assert (restored["envelopes"] > 0, restored["differ"]) == (True, [])
    assert (without_a_copy.status, "retire.not_off_host" in without_a_copy.said) == (2, True)
    assert (dropped.status, dropped_again.status) == (0, 0), dropped.output[-4000:] + dropped_again.output[-4000:]
    assert set(dropped_again.changed.values()) == {0}
    assert sides.database("client.certautopilot.list_collection_names()") == "[]"
    assert (gone_back.status, "rollback.source_gone" in gone_back.said) == (2, True)
    assert sides.states(*OLD, *NEW) == [RETIRED] * 2 + [SERVES] * 2


def test_x75_a_roll_back_waits_for_every_host_and_then_only_the_source_serves_also_at_a_boot(sides, example):
    migrated(sides, example)
    sides.write(NEW[0])
    sides.hosts.unplug(NEW[1])
    try:
        silent = sides.play(example, "-e", "rollback_accept_loss=true", playbook="rollback")
        status = sides.play(example, playbook="status")
    finally:
        sides.hosts.plug(NEW[1])
    untouched = sides.states(*OLD, *NEW)
    listed = sides.play(example, playbook="rollback")
    done = sides.play(example, "-e", "rollback_accept_loss=true", playbook="rollback")
    again = sides.play(example, playbook="rollback")
    with ThreadPoolExecutor() as pool:
        list(pool.map(sides.hosts.reboot, (*OLD, *NEW)))

    assert silent.status != 0
    assert "rollback.preflight" in silent.said
    assert (status.status, f"{NEW[1]}: CANNOT BE REACHED" in status.output) == (0, True), status.output[-3000:]
    assert untouched == [RETIRED] * 2 + [SERVES] * 2
    assert (listed.status, "rollback.loss" in listed.said, "record(s) since, in " in listed.said) == (2, True, True)
    assert (done.status, again.status) == (0, 0), done.output[-4000:] + again.output[-4000:]
    assert set(again.changed.values()) == {0}
    assert [sides.healthy(host) for host in OLD] == [True, True]
    assert sides.states(*OLD, *NEW) == [SERVES] * 2 + [RETIRED] * 2
    assert sides.both_served(OLD, NEW) == []
    assert sides.switches(*OLD) == []
