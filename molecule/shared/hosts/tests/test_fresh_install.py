# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""After a fresh installation: who may read what, who runs, also after a boot; all nodes have one set of secrets."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import yaml

from tests.support.examples import prepared
from tests.support.examples.plays import EXAMPLES

ETC = "/etc/certautopilot"
TOKENS = "/var/lib/softhsm/tokens"


@pytest.fixture(scope="module")
def provider(example):
    given = Path(EXAMPLES, example, "group_vars", "certautopilot.yml").read_text(encoding="utf-8")
    return yaml.safe_load(given)["install_provider"]


def ready(host):
    answer = host.run("curl --silent --max-time 5 http://127.0.0.1:18181/readyz")
    return json.loads(answer.stdout or "{}")


def test_the_service_runs_as_its_own_user_and_is_ready(host, provider):
    assert host.service("certautopilot").is_running
    assert {process.user for process in host.process.filter(comm="python")} == {"certautopilot"}
    assert ready(host) == {"ready": True, "provider": provider, "version": 1}


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


def test_no_secret_is_in_the_journal(host, sides, nodes):
    values = prepared.secrets_on(sides, nodes)
    journal = host.run("journalctl --no-pager --output cat").stdout

    assert len(values) >= 3
    assert journal
    assert [value for value in values if value in journal] == []


def test_x71_a_key_in_the_token_is_the_services(sides, nodes, provider):
    find = ["find", TOKENS, "-mindepth", "1", "-printf", "%u\n"]
    owners = [set(sides.hosts.run(node, find).stdout.split()) for node in nodes]

    assert owners == [{"certautopilot"} if provider == "pkcs11" else set()] * len(nodes)


def test_x78_all_nodes_have_one_set_of_secrets_and_are_known(sides, nodes):
    texts = {sides.hosts.read(node, prepared.SECRETS) for node in nodes}
    heard = sides.database("client.certautopilot.process_heartbeats.count_documents({})")

    assert len(texts) == 1
    assert int(heard) >= len(nodes)


def test_every_node_serves_after_a_boot_too(sides, nodes):
    with ThreadPoolExecutor() as pool:
        list(pool.map(sides.hosts.reboot, nodes))

    assert sides.states(*nodes) == ["active enabled"] * len(nodes)
    assert [sides.healthy(node) for node in nodes] == [True] * len(nodes)
