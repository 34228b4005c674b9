# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The role `service` on two hosts at once, over ssh as a login user with sudo."""

from __future__ import annotations

import pytest

from .conftest import PORT, UNIT

ROLE = "certautopilot.ops.service"
BOTH = {"certautopilot_service_unit": UNIT, "certautopilot_health_url": f"http://127.0.0.1:{PORT}/readyz"}
BEATS = """
import sys, time, datetime, pymongo
table = pymongo.MongoClient(sys.argv[1])["probe"].process_heartbeats
while True:
    now = datetime.datetime.now(datetime.timezone.utc)
    table.replace_one({"_id": "somewhere"}, {"hostname": "elsewhere", "updated_at": now}, upsert=True)
    time.sleep(0.5)
"""


def role(tasks="main", **variables):
    named = {"name": ROLE} if tasks == "main" else {"name": ROLE, "tasks_from": tasks}
    return {
        "name": "The role",
        "ansible.builtin.include_role": named,
        "vars": {**BOTH, **variables},
        "ignore_errors": True,
    }


def told(*names):
    """Return a task that keeps variables of the play."""
    return {"name": "What the role told", "ansible.builtin.debug": {"msg": f"{{{{ [{', '.join(names)}] }}}}"}}


def recap(output):
    """Return {host: {what: how often}} as ansible-playbook counts at its end."""
    lines = output.partition("PLAY RECAP")[2].splitlines()[1:]
    counted = {line.split(":")[0].strip(): line.partition(":")[2].split() for line in lines if " ok=" in line}
    return {host: {word.split("=")[0]: int(word.split("=")[1]) for word in words} for host, words in counted.items()}


@pytest.fixture
def both(unit):
    for host in ("source-1", "source-2"):
        unit("serves", host=host)


@pytest.fixture
def database(pair):
    """Configuration of an installation that has a database and nothing in it, on both hosts."""
    for host in ("source-1", "source-2"):
        pair.put(host, "/tmp/probe.yaml", "database:\n  name: probe\n", mode="0640")
        pair.put(host, "/tmp/probe.env", f"CERTAUTOPILOT_DATABASE_URI={pair.database_uri}\n")
    return {"certautopilot_config_file": "/tmp/probe.yaml", "certautopilot_secrets_file": "/tmp/probe.env",
            "service_quiesce": True, "service_quiesce_wait_s": 2}  # fmt: skip


def states(pair):
    asked = ["systemctl", "show", "--property=ActiveState,UnitFileState", UNIT]
    return [pair.run(host, asked).stdout.split() for host in ("source-1", "source-2")]


def test_x79_two_hosts_are_started_and_stopped_together_and_the_second_run_changes_nothing(
    both, database, playbook, pair
):
    start = role(service_state="started", service_enabled=True)
    stop = role(
        service_state="stopped", service_enabled=False, service_retired=True, service_retired_reason="gone", **database
    )

    predicted = playbook(start, on="source", arguments=["--check", "--diff"])
    untouched = states(pair)
    runs = [playbook(task, on="source", arguments=["--diff"]) for task in (start, start, stop, stop)]

    assert [run.status for run in (predicted, *runs)] == [0] * 5, runs[2].output
    assert untouched == [["ActiveState=inactive", "UnitFileState=disabled"]] * 2
    assert states(pair) == [["ActiveState=inactive", "UnitFileState=disabled"]] * 2
    changed = [[counted["changed"] for counted in recap(run.output).values()] for run in runs]
    # WHY one more: each run keeps its results in a file here
    assert changed == [[2, 2], [1, 1], [2, 2], [1, 1]]


def test_x79_a_process_that_goes_on_elsewhere_fails_the_stop_on_all_hosts(both, database, playbook, pair):
    pair.put("source-2", "/tmp/beats.py", BEATS)
    pair.run(
        "source-2",
        ["systemd-run", "--unit=beats", "/usr/share/certautopilot/venv/bin/python", "/tmp/beats.py", pair.database_uri],
    )
    try:
        done = playbook(role(service_state="stopped", **database), on="source")
    finally:
        pair.run("source-2", ["systemctl", "stop", "beats"])

    assert done.output.count("service.not_quiesced") >= 2
    assert "somewhere on elsewhere" in done.output


def test_the_account_is_the_units_and_nobodys_where_there_is_no_unit(unit, playbook):
    unit("serves", host="source-1")

    done = playbook(role("account"), told("certautopilot_unit_user", "certautopilot_unit_group"), on="source")

    assert done.status == 0, done.output
    assert {host: results[1]["msg"] for host, results in done.results.items()} == {
        "source-1": ["certautopilot", "certautopilot"], "source-2": ["", ""]
    }  # fmt: skip


def test_the_switch_is_armed_and_taken_away_by_the_role_and_there_is_none_without_systemd(both, playbook, pair):
    boot = "{{ service_switch_result.boot_id }}"
    armed = role("return_switch", service_switch_state="armed", service_switch_after_s=300, service_switch_run="r1")
    kept = role("return_switch", service_switch_state="asserted", service_switch_boot_id=boot, service_switch_left_s=60)
    gone = role(
        "return_switch",
        service_switch_state="disarmed",
        service_switch_boot_id=boot,
        service_switch_expect_stopped=True,
    )

    done = playbook(armed, kept, gone, told("service_switch_result.switch.was_armed"), on="source")
    none = playbook(role("return_switch", service_switch_state="armed", service_manager="command"))

    assert done.status == 0, done.output
    assert [results[3]["msg"] for results in done.results.values()] == [[True], [True]]
    assert "no switch: certautopilot_service_manager is command on source-1" in none.output
