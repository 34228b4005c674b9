# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A rehearsal from the outside: it says how long and what is in the way, the source serves, and nothing of it stays."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path

import pymongo
import pytest
import yaml

from tests.integration.modules.test_no_secret_shows import leaks
from tests.integration.test_playbooks import migrate, secrets_of
from tests.support import softhsm
from tests.support.demo import ansible_environment
from tests.support.lab import TOKEN, running
from tests.support.mounts import tmpfs

RECORDS = 60
REHEARSE = ("-e", "migrate_rehearse=true")
PIN = r"CERTAUTOPILOT_ENCRYPTION_PKCS11_PIN"


@pytest.fixture
def lab(tmp_path):
    with running(tmp_path / "lab", records=RECORDS) as made:
        yield made


def source_of(lab):
    server = pymongo.MongoClient((lab.folder / "old" / "uri").read_text())
    return server[yaml.safe_load(lab.files("old")[0].read_text())["database"]["name"]]


def written_by_now(lab):
    """Files but the report, databases, keys in the token, and what the source holds besides locks and heartbeats."""
    # WHY no folders: a rehearsal that was killed cannot say any more which of them were there before.
    ours = {
        path
        for path in lab.folder.rglob("*")
        if path.is_file() and path.relative_to(lab.folder).parts[0] not in ("db", "ansible")
    }
    kept = {path for path in ours if not {"report", "tokens"} & set(path.parts) and path.name != "ansible.cfg"}
    source = source_of(lab)
    moving = {"locks", "process_heartbeats"}
    held = {name: list(source[name].find()) for name in set(source.list_collection_names()) - moving}
    keys = softhsm.call("keys", lab.folder / "hsm", TOKEN, lab.pin)
    return kept, sorted(source.client.list_database_names()), keys, held


def rehearsed(lab):
    return json.loads((lab.report.parent / "rehearsal.json").read_text())


def serves(lab):
    return {side: lab.service("running", side).returncode == 0 for side in ("old", "new")}


def rehearse(lab, words, then):
    """Run a rehearsal and do something once, when a line has these words. Return (exit status, what it printed)."""
    command = [Path(sys.executable).parent / "ansible-playbook", "-i", lab.inventory, "certautopilot.ops.migrate"]
    run = subprocess.Popen([*command, *REHEARSE], env=ansible_environment(lab), stdout=subprocess.PIPE,
                           stderr=subprocess.STDOUT, text=True, start_new_session=True)  # fmt: skip
    assert run.stdout is not None
    printed, waits = list[str](), True
    try:
        for line in run.stdout:
            printed.append(line)
            if waits and words in line:
                then(run)
                waits = False
        return run.wait(timeout=60), "".join(printed)
    finally:
        if run.poll() is None:
            killed(run)


def killed(run):
    """End a run as a power cut would."""
    os.killpg(run.pid, signal.SIGKILL)


def test_a_rehearsal_leaves_nothing_even_where_one_was_killed_before_it(lab):
    before = written_by_now(lab)
    rehearse(lab, "Rehearsal | work of differences", killed)
    between = written_by_now(lab)

    status, output = migrate(lab, *REHEARSE, "-vv")

    assert between[1:3] != before[1:3]  # a database and a key: what the second one has to clean up
    assert status == 0, output[-4000:]
    assert written_by_now(lab) == before
    assert serves(lab) == {"old": True, "new": False}
    said = rehearsed(lab)
    assert (said["records"], said["equal"], said["blockers"]) == (said["records"], said["records"], [])
    assert said["records"] >= RECORDS
    assert set(said["forecast"]["stages"]) == {"backup", "export", "install", "import", "differences", "proof"}
    assert min(said["forecast"]["stages"].values()) > 0
    assert all(0 < folder["needed_bytes"] < folder["free_bytes"] for folder in said["space"]["source"].values())
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d+Z", said["finished"])
    assert leaks(output, secrets_of(lab) if lab.files("new")[1].exists() else {"PIN": lab.pin.encode()}) == []


@pytest.mark.slow  # two whole rehearsals
def test_what_cannot_be_cleaned_up_is_said_and_the_next_one_does_it(lab):
    before = written_by_now(lab)
    with ExitStack() as mounts:
        status, output = rehearse(
            lab,
            "Rehearsal | it is known how much space it takes",
            lambda _run: mounts.enter_context(tmpfs(lab.folder / "work-old" / "rehearsal", size=1 << 20)),
        )

    said = " ".join(output.split())
    assert status == 2
    assert "nothing of it stays; the migration takes" not in said
    assert "what the rehearsal made is NOT known to be gone on old: a next one removes it first" in said
    assert [one["host"] for one in rehearsed(lab)["blockers"]] == ["old"]
    assert rehearsed(lab)["equal"] == rehearsed(lab)["records"] >= RECORDS
    assert serves(lab) == {"old": True, "new": False}
    assert migrate(lab, *REHEARSE)[0] == 0
    assert written_by_now(lab) == before


def test_everything_that_is_in_the_way_is_said_at_once_and_nothing_is_written(lab):
    inventory = yaml.safe_load(lab.inventory.read_text())
    new = inventory["all"]["vars"]["migrate_destination"]
    new["pkcs11_token_label"] = "no-such-token"
    source = source_of(lab)
    source.nobodys.insert_one({**source.dns_credentials.find_one(), "_id": "outside the catalogue"})
    lab.inventory.write_text(yaml.safe_dump(inventory))
    before = written_by_now(lab)

    status, output = migrate(lab, *REHEARSE)

    assert status == 2
    assert {one["code"] for one in rehearsed(lab)["blockers"]} == {"migrate.preflight", "pkcs11.token_not_found"}
    assert written_by_now(lab) == before
    assert serves(lab) == {"old": True, "new": False}
    assert "migrate.rehearsal" in output


def test_options_of_the_command_line_that_would_win_over_the_scratch_ones_are_refused(lab):
    before = written_by_now(lab)

    status, output = migrate(lab, *REHEARSE, "-e", f"migrate_work_dir={lab.folder}/elsewhere")

    assert status == 2
    assert "give these options in the inventory" in " ".join(output.split())
    assert written_by_now(lab) == before


def test_in_check_mode_what_is_in_the_way_is_looked_for_and_nothing_is_run(lab):
    before = written_by_now(lab)

    status, output = migrate(lab, *REHEARSE, "--check")

    assert status == 0, output[-3000:]
    assert "0 things block this migration" in " ".join(output.split())
    assert written_by_now(lab) == before
