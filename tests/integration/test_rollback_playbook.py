# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The playbooks rollback and status on this machine, after one migration: the tests go on where the one before ended.

What only hosts with systemd show, boots and units, is in hosts/ and in molecule's scenarios.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pymongo
import pytest
import yaml

from tests.support.demo import ansible_environment
from tests.support.lab import running

RECORDS = 30
LOSES = ("-e", "rollback_accept_loss=true")


@pytest.fixture(scope="module")
def lab(tmp_path_factory):
    """A laboratory after a migration: `old` is stopped, `new` serves and has written since."""
    with running(tmp_path_factory.mktemp("lab") / "lab", records=RECORDS) as made:
        status, output = play(made, "migrate")
        assert status == 0, output[-3000:]
        db = destination(made)
        db.zones.insert_many([{"_id": f"late {n}", "project_id": "p1"} for n in range(3)])
        db.projects.insert_one({"_id": "p2", "name": "made after the acceptance"})
        yield made


def play(lab, playbook, *arguments, inventory=None):
    command = [Path(sys.executable).parent / "ansible-playbook", "-i", inventory or lab.inventory]
    done = subprocess.run(
        [*command, f"certautopilot.ops.{playbook}", *arguments],
        env=ansible_environment(lab), capture_output=True, text=True, check=False, timeout=900,
    )  # fmt: skip
    return done.returncode, done.stdout + done.stderr


def destination(lab):
    name = yaml.safe_load(lab.inventory.read_text())["all"]["vars"]["migrate_destination"]["mongodb_database"]
    return pymongo.MongoClient((lab.folder / "new" / "uri").read_text())[name]


def serving(lab):
    return {side: lab.service("running", side).returncode == 0 for side in ("old", "new")}


def changed(output):
    return {host: int(count) for host, count in re.findall(r"^(\w+) +: ok=\d+ +changed=(\d+)", output, re.MULTILINE)}


def changed_inventory(lab, tmp_path, side, **variables):
    """Return an inventory in which a host is told something else."""
    inventory = yaml.safe_load(lab.inventory.read_text())
    group, host = ("source", "old") if side == "old" else ("destination", "new")
    inventory["all"]["children"][group]["hosts"][host].update(variables)
    path = tmp_path / "hosts.yml"
    path.write_text(yaml.safe_dump(inventory))
    return path


def test_status_is_one_screen_of_both_sides_and_names_whom_it_cannot_reach(lab, tmp_path):
    away = {"ansible_connection": "ssh", "ansible_host": "127.0.0.1", "ansible_port": 1}
    inventory = yaml.safe_load(lab.inventory.read_text())
    inventory["all"]["children"]["source"]["hosts"]["away"] = away
    path, written = tmp_path / "hosts.yml", tmp_path / "status.json"
    path.write_text(yaml.safe_dump(inventory))

    status, output = play(lab, "status", "-e", f"status_json_file={written}", inventory=path)

    told = json.loads(written.read_text())
    said = " ".join(output.split())
    assert status == 0, output[-3000:]
    assert set(changed(output).values()) == {0}
    assert told["unreachable"] == ["away"]
    assert "away: CANNOT BE REACHED" in said
    assert sorted(one["lock"]["provider"] for one in told["installations"]) == ["env", "pkcs11"]
    assert "migration accepted from " in said
    assert "2 installation(s) on 3 host(s), 1 cannot be reached" in said
    assert max(len(line) for line in output.splitlines() if line.startswith("    - ")) <= 100
    assert written.stat().st_mode & 0o777 == 0o600


def test_after_an_acceptance_it_lists_what_would_be_lost_and_does_nothing(lab):
    status, output = play(lab, "rollback")

    said = " ".join(output.split())
    assert status == 2
    assert "rollback.loss: " in said
    assert "has written 4 record(s) since, in projects (1 written), zones (3 written)" in said
    assert "by project: p1 3, p2 1" in said
    assert "zones/late 0" in said
    assert changed(output) == {"new": 0, "old": 0}
    assert serving(lab) == {"old": False, "new": True}


def test_a_destination_that_cannot_be_stopped_keeps_the_source_from_being_started(lab, tmp_path):
    broken = changed_inventory(lab, tmp_path, "new", certautopilot_service_stop_command=["false"])

    status, output = play(lab, "rollback", *LOSES, inventory=broken)

    said = " ".join(output.split())
    assert status == 2
    assert "rollback.failed: " in said
    assert "the destination is NOT known to be stopped on new" in said
    assert "the source is NOT known to run on old" in said
    assert serving(lab) == {"old": False, "new": True}
    assert list(lab.report.parent.glob("rollback-failed-*.json"))


def test_a_source_without_its_secrets_is_not_gone_back_to(lab):
    secrets_file = lab.files("old")[1]
    secrets_file.rename(secrets_file.with_suffix(".away"))
    try:
        status, output = play(lab, "rollback", *LOSES)
    finally:
        secrets_file.with_suffix(".away").rename(secrets_file)

    assert (status, "rollback.source_gone: " in output) == (2, True)
    assert serving(lab) == {"old": False, "new": True}


def test_it_does_not_begin_beside_a_migration(lab):
    other = {"user": "u", "host": "h", "pid": "1", "started": "1", "boot": "b", "namespace": "n"}
    later = {"expires_at": datetime.now(UTC) + timedelta(hours=1)}
    destination(lab).locks.replace_one(
        {"_id": "kek-migration"}, {"owner": "another", "token": 99, **other, **later}, upsert=True
    )
    try:
        status, output = play(lab, "rollback", *LOSES)
    finally:
        destination(lab).locks.update_one({"_id": "kek-migration"}, {"$unset": {"expires_at": 1}})

    assert status == 2
    assert "migration.held" in output
    assert "rollback.turn: " in output
    assert serving(lab) == {"old": False, "new": True}


def test_check_predicts_and_a_run_goes_back_and_a_second_changes_and_loses_nothing(lab):
    checked_status, checked = play(lab, "rollback", "--check", *LOSES)
    after_check = serving(lab)
    status, output = play(lab, "rollback", *LOSES)
    after = serving(lab)
    again_status, again = play(lab, "rollback")

    (kept,) = lab.report.parent.glob("rollback-lost-new-*.json")
    lost = json.loads(kept.read_text())["written_since_the_acceptance"]
    assert (checked_status, status, again_status) == (0, 0, 0), checked[-2000:] + output[-2000:] + again[-2000:]
    assert after_check == {"old": False, "new": True}
    assert after == serving(lab) == {"old": True, "new": False}
    assert (lost["records"], lost["projects"]) == (4, {"p1": 3, "p2": 1})
    assert kept.stat().st_mode & 0o777 == 0o600
    assert destination(lab).kek_imports.find_one()["state"] == "proven"
    assert changed(again) == {"new": 0, "old": 0}
    assert "nothing was accepted, so nothing is lost" in " ".join(again.split())


def test_before_an_acceptance_it_brings_back_a_source_that_was_left_stopped(lab):
    lab.service("stop", "old")

    status, output = play(lab, "rollback")

    assert status == 0, output[-3000:]
    assert serving(lab) == {"old": True, "new": False}


def test_one_that_was_retired_for_good_is_brought_back_only_on_purpose(lab):
    record = lab.report.parent / "retired.json"
    record.write_text(json.dumps({"retired_at": "2026-01-01T00:00:00Z"}))

    refused_status, refused = play(lab, "rollback")
    status, output = play(lab, "rollback", "-e", "rollback_bring_back_retired=true")

    assert (refused_status, "rollback.retired_for_good: " in refused) == (2, True)
    assert status == 0, output[-3000:]
    assert not record.exists()
