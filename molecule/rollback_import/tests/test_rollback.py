# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""After a failed import: the source runs as it was, the destination does not, and somebody can find out why."""

from __future__ import annotations

import json
import os
from pathlib import Path

import yaml

from tests.support.http_get import get
from tests.support.lab import Lab
from tests.support.oracle import Side, digest

LAB = Lab(Path(os.environ["LAB_DIR"]))


def port(side):
    hosts = yaml.safe_load(LAB.inventory.read_text())["all"]["children"]
    group, name = ("source", "old") if side == "old" else ("destination", "new")
    return hosts[group]["hosts"][name]["certautopilot_health_url"].split(":")[2].split("/")[0]


def test_the_source_listens_and_is_ready(host):
    assert host.socket(f"tcp://127.0.0.1:{port('old')}").is_listening
    assert get(f"http://127.0.0.1:{port('old')}/readyz")[0] == 200


def test_the_destination_does_not_listen(host):
    assert not host.socket(f"tcp://127.0.0.1:{port('new')}").is_listening


def test_the_sources_digest_is_unchanged():
    assert digest(Side(*LAB.files("old")).db) == (LAB.folder / "source-digest").read_text()


def test_evidence_names_stage_and_task_on_both_hosts():
    kept = [json.loads(path.read_text()) for path in (LAB.folder / "report").glob("failed-import-*/*.json")]

    assert {entry["stage"] for entry in kept} == {"import"}
    assert {entry["failed_by"] for entry in kept} == {
        "Change | every record is sealed under this installation's KEK and compared"
    }


def test_the_backup_that_was_taken_before_is_there(host):
    (backup,) = (LAB.folder / "backups").glob("pre-migration-*")

    assert host.file(str(backup)).mode == 0o700
    assert host.file(str(backup / "backup.json")).exists
    assert not (LAB.folder / "report" / "migration.json").exists()
