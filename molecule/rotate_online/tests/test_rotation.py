# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""After a rotation and the removal of the old key, from outside: the oracle's side, PyKCS11, both processes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from tests.support import softhsm
from tests.support.http_get import get
from tests.support.lab import TOKEN, Lab
from tests.support.processes import repository_environment

LAB = Lab(Path(os.environ["LAB_DIR"]))
GROUPS = yaml.safe_load(LAB.inventory.read_text())["all"]["children"]
HOSTS = {**GROUPS["source"]["hosts"], **GROUPS["destination"]["hosts"]}

LOOK = """
import json, sys
from pathlib import Path
from tests.support.oracle import Side, envelopes_in
side, versions = Side(*map(Path, sys.argv[1:])), []
for name in side.collections():
    for document in side.db[name].find():
        for path, sealed in envelopes_in(document):
            side.open(document["_id"], path, sealed)
            versions += [document["kek_version"], sealed["kek_version"]]
rows = {str(row["_id"]): row.get("state", row.get("version")) for row in side.db.kek_versions.find()}
fleet = [beat["current_version"] for beat in side.db.process_heartbeats.find()]
json.dump({"versions": versions, "rows": rows, "fleet": fleet}, sys.stdout)
"""


@pytest.fixture(scope="module")
def seen():
    """What the database holds, every envelope opened with the token's keys; a process reads SOFTHSM2_CONF only once."""
    environment = repository_environment({"SOFTHSM2_CONF": str(LAB.softhsm_conf)})
    command = [sys.executable, "-c", LOOK, *map(str, LAB.files("new"))]
    return json.loads(subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout)


def test_every_envelope_opens_under_the_new_version(seen):
    assert len(seen["versions"]) > 20
    assert set(seen["versions"]) == {2}


def test_the_new_version_is_active_the_old_one_destroyed_and_both_processes_write_with_the_new_one(seen):
    assert seen["rows"] == {"1": "destroyed", "2": "active", "active": 2}
    assert seen["fleet"] == [2, 2]


def test_one_key_is_left_in_the_token_the_new_one():
    (key,) = softhsm.call("keys", LAB.folder / "hsm", TOKEN, LAB.pin)

    assert key["id"].endswith("00000002")


@pytest.mark.parametrize("name", sorted(HOSTS))
def test_the_service_runs_and_is_ready(name):
    assert LAB.service("running", name).returncode == 0
    assert get(HOSTS[name]["certautopilot_health_url"])[0] == 200
