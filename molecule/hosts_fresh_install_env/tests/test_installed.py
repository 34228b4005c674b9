# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A fresh installation on a host of its own: who may read what, who runs, and that the database knows it."""

from __future__ import annotations

import json
import time

import pytest

ETC = "/etc/certautopilot"


@pytest.fixture(scope="module")
def ready(host):
    answer = host.run("curl --silent --max-time 5 http://127.0.0.1:18181/readyz")
    return json.loads(answer.stdout or "{}")


def test_the_service_runs_as_its_own_user_and_is_ready(host, ready):
    assert host.service("certautopilot").is_running
    assert {process.user for process in host.process.filter(comm="python")} == {"certautopilot"}
    assert ready == {"ready": True, "provider": "env", "version": 1}


def test_it_does_not_run_in_a_loop(host):
    shown = host.run("systemctl show --property NRestarts --value certautopilot.service")

    assert shown.stdout.strip() == "0"


@pytest.mark.parametrize(("name", "mode"), [("config.yaml", 0o640), ("secrets.env", 0o600)])
def test_the_files_are_the_services_and_nobody_elses(host, name, mode):
    file = host.file(f"{ETC}/{name}")

    assert (file.user, file.group, file.mode) == ("certautopilot", "certautopilot", mode)


def test_the_folder_is_still_the_services(host):
    folder = host.file(ETC)

    assert (folder.user, folder.group, folder.mode) == ("certautopilot", "certautopilot", 0o750)


def test_no_secret_is_in_the_journal(host):
    lines = host.file(f"{ETC}/secrets.env").content_string.splitlines()
    values = [
        line.partition("=")[2].strip("\"'") for line in lines if "KEK" in line or "SECRET" in line or "PEPPER" in line
    ]
    journal = host.run("journalctl --no-pager --output cat").stdout

    assert len(values) == 3
    assert journal
    assert [value for value in values if value in journal] == []


def test_its_heart_beats(host):
    def beats():
        return host.run("systemctl show --property MainPID --value certautopilot.service").stdout

    before = beats()
    time.sleep(2)

    assert beats() == before != "0"
