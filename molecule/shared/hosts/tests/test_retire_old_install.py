# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""After a retirement: nothing of the old installation serves, also at a boot, and its backup opens elsewhere."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor

from tests.support.examples import prepared
from tests.support.examples.sides import UNIT


def test_x72_nothing_of_the_old_installation_serves_also_after_a_boot_and_by_hand(sides, groups):
    old, new = groups["source"], groups["destination"]
    with ThreadPoolExecutor() as pool:
        list(pool.map(sides.hosts.reboot, (*old, *new)))

    assert sides.states(*old, *new) == ["inactive disabled retired"] * len(old) + ["active enabled"] * len(new)
    assert [sides.healthy(host) for host in new] == [True] * len(new)
    for host in old:
        assert sides.hosts.run(host, ["systemctl", "start", UNIT], check=False).returncode != 0
    assert sides.both_served(old, new) == []


def test_the_database_and_the_secrets_stay_where_nothing_else_was_asked_for(sides, groups):
    assert int(sides.database("client.certautopilot.certificates.count_documents({})")) > 0
    for host in groups["source"]:
        assert sides.hosts.run(host, ["test", "-s", prepared.SECRETS], check=False).returncode == 0


def test_it_is_written_down_on_every_host_of_it_what_was_retired(sides, groups):
    for host in groups["source"]:
        record = "/var/log/certautopilot-migration/retired.json"
        told = json.loads(sides.hosts.read(host, record))

        assert (told["database"], told["backup"]["path"]) == ("certautopilot", prepared.BACKUP)
        assert told["backup"]["keys"] == {"1": ["backup"]}
        assert sides.hosts.run(host, ["stat", "--format=%a", record]).stdout.strip() == "600"


def test_the_backup_restored_elsewhere_opens_with_what_is_in_it(sides, groups, example):
    restored = prepared.restored_elsewhere(sides, example, groups["source"][0], groups["destination"][0])

    assert restored["envelopes"] > 0
    assert restored["differ"] == []
