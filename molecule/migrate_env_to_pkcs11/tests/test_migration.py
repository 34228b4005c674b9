# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""After a migration, from outside: the oracle, PyKCS11, sockets and files."""

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


@pytest.fixture(scope="module")
def report():
    command = [sys.executable, "-m", "tests.support.oracle", "compare"]
    for side, name in (("old", "--source"), ("new", "--destination")):
        command += [name, *map(str, LAB.files(side))]
    environment = repository_environment({"SOFTHSM2_CONF": str(LAB.softhsm_conf)})
    return json.loads(subprocess.run(command, env=environment, capture_output=True, text=True, check=False).stdout)


def test_the_oracle_opens_every_envelope_and_finds_every_record_equal(report):
    assert report["holds"]
    assert (report["records"], report["equal"]) == (60, 60)
    assert report["opened"] == report["envelopes"] > 20


def test_no_dek_nonce_wrap_or_ciphertext_was_carried_over(report):
    assert report["reused"] == []


def test_the_report_says_how_long_nothing_served_and_why():
    freeze = json.loads(LAB.report.read_text())["freeze"]

    assert set(freeze["by_cause"]) == {"stop", "retire", "start", "quiescence", "reads", "import", "rest"}
    assert freeze["seconds"] == pytest.approx(sum(freeze["by_cause"].values()), abs=0.5)
    assert freeze["by_cause"]["reads"] > 0
    assert freeze["by_cause"]["import"] > 0


def test_one_key_is_in_the_token_and_cannot_leave_it():
    (key,) = softhsm.call("keys", LAB.folder / "hsm", TOKEN, LAB.pin)

    assert (key["label"], key["bits"], key["sensitive"], key["extractable"]) == (
        "certautopilot-kek-v1",
        256,
        True,
        False,
    )


def test_only_the_destination_listens(host):
    hosts = yaml.safe_load(LAB.inventory.read_text())["all"]["children"]
    urls = {name: hosts[group]["hosts"][name]["certautopilot_health_url"] for group, name in
            (("source", "old"), ("destination", "new"))}  # fmt: skip
    listening = {name: host.socket(f"tcp://{url.split('/')[2]}").is_listening for name, url in urls.items()}

    assert listening == {"old": False, "new": True}


def test_files_with_secrets_are_private(host):
    for path in (LAB.files("new")[1], LAB.report):
        assert host.file(str(path)).mode == 0o600
    assert not host.file(str(LAB.folder / "work-new" / "identity")).exists
    assert not host.file(str(LAB.folder / "work-old" / "bundle")).exists


def test_api_keys_still_work_because_their_pepper_came_along():
    hosts = yaml.safe_load(LAB.inventory.read_text())["all"]["children"]
    base = hosts["destination"]["hosts"]["new"]["certautopilot_health_url"].replace("/readyz", "/api/v1/projects")
    key = (LAB.folder / "api-key").read_text().strip()

    status, answer = get(base, bearer=key)

    assert status == 200
    assert len(json.loads(answer)["items"]) == 3
