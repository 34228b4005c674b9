# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Two migrations at once, one that died, one that lost its turn: one migration at a time has both sides (X22)."""

from __future__ import annotations

import os
import re
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path

import pymongo
import pytest
import yaml

from tests.integration.test_playbooks import changed, migrate
from tests.support.demo import ansible_environment
from tests.support.demo import oracle as compare
from tests.support.lab import running

RECORDS = 30
NAME = "kek-migration"
FAR_S = 3600


@pytest.fixture
def lab(tmp_path):
    with running(tmp_path / "lab", records=RECORDS) as made:
        yield made


@pytest.fixture
def started(lab, tmp_path):
    """Return a function that starts a run whose services' stops and starts are noted; what is left of it is ended."""
    running = []

    def start(name):
        notes, output = tmp_path / f"{name}.notes", tmp_path / f"{name}.log"
        notes.touch()
        inventory = yaml.safe_load(lab.inventory.read_text())
        for group, side in (("source", "old"), ("destination", "new")):
            host = inventory["all"]["children"][group]["hosts"][side]
            for act in ("start", "stop"):
                option = f"certautopilot_service_{act}_command"
                script = tmp_path / f"{name}-{side}-{act}.sh"
                script.write_text(f"echo {act} {side} >> {notes}\nexec {shlex.join(host[option])}\n")
                host[option] = ["sh", str(script)]
        hosts = tmp_path / f"{name}.yml"
        hosts.write_text(yaml.safe_dump(inventory))
        command = [Path(sys.executable).parent / "ansible-playbook", "-i", hosts, "certautopilot.ops.migrate"]
        with output.open("w") as log:
            process = subprocess.Popen(command, env=ansible_environment(lab), stdout=log, stderr=subprocess.STDOUT)
        running.append(process)
        return process, output, notes

    yield start
    for process in running:
        process.kill()
        process.wait(timeout=30)


def wait_for(output, words, process, timeout_s=200):
    deadline = time.monotonic() + timeout_s
    while words not in output.read_text():
        assert process.poll() is None, output.read_text()[-3000:]
        assert time.monotonic() < deadline, output.read_text()[-3000:]
        time.sleep(0.1)


def codes(text):
    return set(re.findall(r"^ +code: (\S+)$", text, re.MULTILINE))


def locks(lab, side):
    name = (
        yaml.safe_load(lab.files("old")[0].read_text())["database"]["name"]
        if side == "old"
        else yaml.safe_load(lab.inventory.read_text())["all"]["vars"]["migrate_destination"]["mongodb_database"]
    )
    return pymongo.MongoClient((lab.folder / side / "uri").read_text())[name].locks


def test_x22_of_two_migrations_at_once_one_ends_and_the_other_is_refused_and_touches_nothing(lab, started):
    runs = [started(name) for name in ("one", "two")]
    statuses = [process.wait(timeout=280) for process, _output, _notes in runs]

    texts = [output.read_text() for _process, output, _notes in runs]
    assert sorted(statuses) == [0, 2], texts[0][-3000:] + texts[1][-3000:]
    (winner, loser) = (0, 1) if statuses[0] == 0 else (1, 0)
    assert codes(texts[loser]) == {"migration.held", "migrate.turn"}
    said = " ".join(texts[loser].split())
    assert re.search(rf"run \w{{12}} of \S+ on \S+ \(process {runs[winner][0].pid}\) since \d{{4}}-", said)
    assert changed(texts[loser]) == {"new": 0, "old": 0}
    assert runs[loser][2].read_text() == ""
    assert compare(lab)["holds"]
    assert [locks(lab, side).count_documents({"_id": NAME}) for side in ("old", "new")] == [1, 1]


def test_x22_a_migration_that_was_killed_is_taken_over_by_the_next_run_which_ends_it(lab, started):
    first, output, _notes = started("first")
    wait_for(output, "Stage | done on every host: quiesce", first)
    held = locks(lab, "old").find_one({"_id": NAME})
    checked, check = migrate(lab, "--check")
    os.kill(first.pid, signal.SIGKILL)
    first.wait(timeout=30)
    stopped = lab.service("running", "old").returncode != 0

    status, text = migrate(lab)

    assert checked == 2
    assert "migration.held" in codes(check)
    assert held["owner"] in check
    assert stopped
    assert status == 0, text[-3000:]
    assert f"run {held['owner']} has ended without giving its turn back" in text
    assert compare(lab)["holds"]
    assert {locks(lab, side).find_one({"_id": NAME})["token"] for side in ("old", "new")} == {2}


def test_x22_a_migration_that_lost_its_turn_stops_and_starts_nothing_and_says_who_has_it(lab, started):
    process, output, notes = started("first")
    wait_for(output, "Stage | work of import", process)
    # given: another run took the source over, as after the turn had run out
    by = {"owner": "another-run1", "user": "alice", "host": "elsewhere", "pid": "7"}
    later = [{"$set": {**by, "token": {"$add": ["$token", 1]}, "expires_at": {"$add": ["$$NOW", FAR_S * 1000]}}}]
    locks(lab, "old").update_one({"_id": NAME}, later)
    before = notes.read_text()

    status = process.wait(timeout=200)

    text = output.read_text()
    assert status == 2
    assert "migrate.turn_lost" in codes(text)
    assert "another-run1 of alice on elsewhere" in " ".join(text.split())
    assert notes.read_text() == before
    assert "Back | the source serves" not in text
    assert lab.service("running", "old").returncode == 0
    assert locks(lab, "old").find_one({"_id": NAME})["owner"] == "another-run1"
    assert not list((lab.folder / "report").glob("*.json"))
