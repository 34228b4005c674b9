# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""After a roll-back: only the source serves, at every time and boot; what the destination wrote is written down."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor


def test_only_the_source_serves_also_after_a_boot_and_never_did_both(sides, groups):
    old, new = groups["source"], groups["destination"]
    apart = ["active enabled"] * len(old) + ["inactive disabled retired"] * len(new)

    assert sides.states(*old, *new) == apart
    with ThreadPoolExecutor() as pool:
        list(pool.map(sides.hosts.reboot, (*old, *new)))
    assert [sides.healthy(host) for host in old] == [True] * len(old)
    assert sides.states(*old, *new) == apart
    assert sides.both_served(old, new) == []
    assert sides.switches(*old) == []


def test_the_acceptance_is_withdrawn_and_what_is_lost_is_counted_by_collection_and_project(sides, groups, said):
    (new, *_others) = groups["destination"]
    kept = sides.hosts.run(new, ["sh", "-c", "cat /var/log/certautopilot-migration/rollback-lost-*.json"]).stdout
    writes = json.loads(kept)["written_since_the_acceptance"]

    assert sides.database("[one['state'] for one in client.certautopilot_env.kek_imports.find()]") == "['proven']"
    assert (writes["found_by"], writes["exact"]) == ("oplog", True)
    assert writes["records"] == sum(sum(one.values()) for one in writes["collections"].values()) > 0
    assert sum(writes["projects"].values()) > 0
    assert "by project: " in said
