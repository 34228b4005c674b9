# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The screen names what was seen, what is not as it must be, and whom nobody could ask; it fits 100 columns."""

from __future__ import annotations

import copy
import json

import pytest
from ansible_collections.certautopilot.ops.plugins.filter.status import FilterModule

FILTERS = FilterModule().filters()
NOW = "2026-05-01T09:00:00Z"
PROCESS = {"id": "p1", "hostname": "cap1", "live": True, "current_version": 2, "loaded_versions": [1, 2]}
INFO = {
    "lock": {"provider": "env", "install_id": "a" * 32, "installed_at": "2025-01-01T00:00:00Z"},
    "database": {"name": "certautopilot"},
    "configured": {"provider": "env", "kek_versions": [1, 2]},
    "versions": [
        {"version": 1, "state": "deactivated", "removed": True},
        {"version": 2, "state": "active", "removed": False},
    ],
    "active": {"version": 2, "epoch": 3},
    "fleet": {"live": 1, "newest_heartbeat": "2026-05-01T08:59:50.000Z", "processes": [PROCESS]},
    "rotation": {"id": "to-2", "state": "rewrapping", "percent": 40, "remaining": 12},
    "migration": {"state": "accepted", "source_install_id": "b" * 32, "updated_at": "2026-04-01T00:00:00Z"},
    "turn": {"run": "r1", "since": "2026-05-01T08:00:00Z", "run_by": {"user": "alice", "host": "ctl"}},
}
UNIT = {"systemd": True, "service": {"exists": True, "active_state": "active", "enabled": True, "retired": False}}
HOST = {
    "name": "cap1.example.com", "hostname": "cap1", "groups": ["certautopilot"], "info": INFO, "unit": UNIT,
    "switch": False,
}  # fmt: skip


def host(**changed):
    """Return HOST with values at dotted paths changed; `__` is the dot."""
    made = copy.deepcopy(HOST)
    for path, value in changed.items():
        *above, last = path.split("__")
        place = made
        for name in above:
            place = place[int(name)] if isinstance(place, list) else place[name]
        place[last] = value
    return made


def screen(hosts, names=()):
    told = FILTERS["status"](hosts, names=[*(one["name"] for one in hosts), *names], now=NOW)
    json.dumps(told)
    return FILTERS["status_lines"](told)


def drift(**changed):
    (line,) = FILTERS["status"]([host(**changed)], names=["cap1.example.com"], now=NOW)["installations"]
    return line["nodes"][0]["drift"]


def test_everything_that_is_asked_for_is_on_one_screen_and_fits():
    lines = screen([HOST], ["cap9.example.com"])

    text = "\n".join(lines)
    for said in (
        "1 installation(s) on 2 host(s), 1 cannot be reached", "env installation " + "a" * 32, "certautopilot",
        "1 deactivated (removed), 2 active; active 2, epoch 3", "1 live of 1", "p1@cap1 v2",
        "to-2 rewrapping, 40 %, 12 left", "accepted from " + "b" * 32, "r1 of alice on ctl",
        "cap1.example.com  active, enabled", "drift      none seen",
        "cap9.example.com: CANNOT BE REACHED, nothing is known of it",
    ):  # fmt: skip
        assert said in " ".join(text.split()) or said in text
    assert max(map(len, lines)) <= 88


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({}, None),
        ({"info__configured__provider": "pkcs11"}, "its files say provider pkcs11, the lock env"),
        ({"info__configured__kek_versions": [1]}, "no key of the active version 2"),
        ({"info__configured__kek_versions": []}, None),  # the keys are in a device
        ({"unit__service__enabled": False}, "its unit runs and is not enabled"),
        ({"unit__service__active_state": "inactive"}, "its unit is enabled and does not run"),
        ({"unit__service__retired": True}, "runs although it is retired"),
        ({"info__fleet__processes": []}, "no process of it lives by the heartbeats"),
        ({"info__fleet__processes__0__hostname": "another"}, "no process of it lives by the heartbeats"),
        ({"info__fleet__processes__0__live": False}, "no process of it lives by the heartbeats"),
        ({"info__fleet__processes__0__current_version": 1}, "p1 writes with version 1, 2 is active"),
        ({"info__fleet__processes__0__loaded_versions": [1]}, "p1 has not loaded the active version 2"),
    ],
)
def test_what_of_a_node_is_not_as_it_must_be_is_named(changed, said):
    found = drift(**changed)

    assert (found == []) if said is None else any(said in one for one in found)


def test_a_stopped_retired_unit_drifts_in_nothing_and_its_reason_is_shown():
    unit = {"exists": True, "active_state": "inactive", "enabled": False, "retired": True, "retired_reason": "migrated"}
    lines = screen([host(unit__service=unit, info__fleet__processes=[])])

    assert "  cap1.example.com  inactive, not enabled, retired (migrated)" in lines
    assert "  drift      none seen" in lines


def test_a_host_whose_database_does_not_answer_says_why_and_how_its_unit_is():
    lines = screen([host(info={"msg": "database.unreachable: it does not answer", "failure": {}})])

    assert any("no installation read: database.unreachable" in line for line in lines)
    assert "  cap1.example.com  active, enabled" in lines


def test_two_nodes_are_one_installation_and_two_databases_are_two():
    nodes = [HOST, host(name="cap2.example.com"), host(name="new1", info__lock__install_id="c" * 32)]

    told = FILTERS["status"](nodes, names=[], now=NOW)

    assert sorted(len(one["nodes"]) for one in told["installations"]) == [1, 2]


def test_a_text_without_blanks_is_cut_as_well():
    lines = screen([host(info__database__name="x" * 300)])

    assert max(map(len, lines)) <= 88


def test_an_armed_switch_and_a_host_without_systemd_are_told():
    assert any("return switch ARMED" in line for line in screen([host(switch=True)]))
    assert any("no systemd here" in line for line in screen([host(unit={})]))
