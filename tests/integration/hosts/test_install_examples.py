# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What befalls a fresh installation on hosts with systemd, from its examples: X70, X71, X78.

That every example runs unchanged, in check mode first, and changes nothing a second time, is molecule's (hosts_…).
"""

from __future__ import annotations

import re
import secrets
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.support.examples.plays import EXAMPLES
from tests.support.examples.sides import CONFIG, PIN, SECRETS, Sides
from tests.support.hosts import Hosts, why_not
from tests.support.hosts.image import chosen

NODES = ("cap1.example.com", "cap2.example.com", "cap3.example.com")
ONE, TWO, THREE = NODES
GIVEN = ["mongodb-uri"]  # in the folder of CONFIG before anything is installed
ALIKE = ("CERTAUTOPILOT_ENCRYPTION_ENV_KEK_V1", "CERTAUTOPILOT_API_KEY_PEPPER", "CERTAUTOPILOT_JWT_SECRET")


class Fleet:
    """Hosts that an example names, and playbooks run on them as an operator would."""

    def __init__(self, hosts: Hosts, folder: Path) -> None:
        self.hosts = hosts
        self.sides = Sides(hosts, folder)
        self.healthy = self.sides.healthy
        self.database = self.sides.database

    def play(self, example: str | Path, *arguments: str) -> tuple[int, str]:
        """Run fresh_install with an example's inventory; return exit status and all that it printed."""
        run = self.sides.play(example, *arguments, playbook="fresh_install")
        return run.status or 0, run.output

    def secrets_of(self, host: str) -> dict[str, str]:
        return dict(line.split("=", 1) for line in self.hosts.read(host, SECRETS).splitlines() if line[:1] not in "#")

    def systemd(self, host: str, question: str) -> str:
        return self.hosts.run(host, ["systemctl", question, "certautopilot.service"], check=False).stdout.strip()

    def owner(self, host: str, path: str) -> str:
        return self.hosts.run(host, ["stat", "--format=%U:%G %a", path]).stdout.strip()

    def files(self, host: str) -> list[str]:
        return self.hosts.run(host, ["ls", str(Path(CONFIG).parent)]).stdout.split()

    def clear(self) -> None:
        """Take everything back that an installation left; the database is told apart by its name."""
        for host in NODES:
            self.hosts.run(host, ["systemctl", "disable", "--now", "certautopilot.service"], check=False)
            self.hosts.run(host, ["systemctl", "reset-failed", "certautopilot.service"], check=False)
            self.hosts.run(host, ["sh", "-c", f"rm -rf {CONFIG} {SECRETS} {PIN} /var/lib/softhsm/tokens/*"])
            self.hosts.run(host, ["install", "-d", "-o", "certautopilot", "-g", "certautopilot", "-m", "0750",
                                  "/etc/certautopilot"])  # fmt: skip
        self.database("client.drop_database('certautopilot')")


def changed(output: str) -> dict[str, int]:
    return {host: int(count) for host, count in re.findall(r"^(\S+) +: ok=\d+ +changed=(\d+)", output, re.MULTILINE)}


@pytest.fixture(scope="module")
def booted(tmp_path_factory):
    if reason := why_not():
        pytest.skip(reason)
    # The first node is of Debian 13, the others of Debian 12: both are tried in the time of one.
    hosts = Hosts(tmp_path_factory.mktemp("install"), hosts=NODES, suite=chosen("bookworm,cap1=trixie"))
    hosts.up()
    yield hosts
    hosts.down()


@pytest.fixture
def fleet(booted, tmp_path):
    fleet = Fleet(booted, tmp_path)
    fleet.clear()
    return fleet


def copied(example: str, folder: Path, **variables: Any) -> Path:
    """Return a copy of an example with other variables of the group."""
    folder.mkdir()
    (folder / "group_vars").mkdir()
    (folder / "inventory.yml").write_text((EXAMPLES / example / "inventory.yml").read_text())
    kept = yaml.safe_load((EXAMPLES / example / "group_vars" / "certautopilot.yml").read_text())
    (folder / "group_vars" / "certautopilot.yml").write_text(yaml.safe_dump({**kept, **variables}))
    return folder


def token(fleet: Fleet, host: str) -> str:
    pin = secrets.token_hex(8)
    fleet.hosts.token(host, "certautopilot", pin)
    fleet.hosts.put(host, PIN, pin)
    return pin


def test_no_secret_is_in_what_an_installation_says_at_its_loudest(fleet):
    pin = token(fleet, ONE)

    status, output = fleet.play("fresh_install_pkcs11", "--diff", "-vvv")

    assert status == 0, output[-6000:]
    values = [pin, *(fleet.secrets_of(ONE)[name] for name in ALIKE[1:])]
    assert [value for value in values if value in output] == []


def test_x78_three_nodes_have_one_set_of_secrets_and_a_fourth_would_get_it(fleet):
    given = fleet.play("fresh_install_three_nodes", "--limit", f"{ONE},{TWO}")
    assert given[0] == 0, given[1][-4000:]

    runs_clean_again = fleet.play("fresh_install_three_nodes")
    last = fleet.play("fresh_install_three_nodes")

    assert (runs_clean_again[0], last[0]) == (0, 0), runs_clean_again[1][-4000:]
    assert changed(runs_clean_again[1])[ONE] == 0
    assert changed(runs_clean_again[1])[THREE] > 0
    assert set(changed(last[1]).values()) == {0}
    one, two, three = (fleet.secrets_of(host) for host in NODES)
    assert one == two == three
    assert set(ALIKE) <= set(one)
    assert all(fleet.healthy(host) for host in NODES)
    heard = fleet.database("client.certautopilot.process_heartbeats.count_documents({})")
    assert int(heard) >= len(NODES)


def test_x78_a_node_with_a_kek_of_its_own_is_refused_by_the_names_of_its_variables(fleet):
    assert fleet.play("fresh_install_three_nodes")[0] == 0
    own = fleet.hosts.read(TWO, SECRETS)
    other = re.sub(r"(KEK_V1|JWT_SECRET)=\w+", lambda found: f"{found[1]}={secrets.token_hex(32)}", own)
    fleet.hosts.put(TWO, SECRETS, other, owner="certautopilot:certautopilot")

    status, output = fleet.play("fresh_install_three_nodes", "-vvv")

    assert status != 0
    assert "install.node_secrets_differ" in output
    assert "CERTAUTOPILOT_ENCRYPTION_ENV_KEK_V1, CERTAUTOPILOT_JWT_SECRET" in output
    lost = [
        value
        for line in other.splitlines()
        if (value := line.partition("=")[2]) and value in output and len(value) > 40
    ]
    assert lost == []
    assert fleet.hosts.read(TWO, SECRETS) == other


@pytest.mark.parametrize(
    ("host", "variables", "name"),
    [
        (TWO, {"install_mongodb_database": "another"}, "install_mongodb_database"),
        (THREE, {"install_unit": "another.service"}, "install_unit"),
    ],
)
def test_x78_hosts_that_are_no_one_installation_are_refused_before_anything_is_written(
    fleet, tmp_path, host, variables, name
):
    folder = copied("fresh_install_three_nodes", tmp_path / "example")
    (folder / "host_vars").mkdir()
    (folder / "host_vars" / f"{host}.yml").write_text(yaml.safe_dump(variables))

    status, output = fleet.play(folder)

    assert status != 0
    assert "install.nodes_differ" in output
    assert name in output
    assert [fleet.files(node) for node in NODES] == [GIVEN] * len(NODES)
    assert "certautopilot" not in fleet.database("client.list_database_names()")


def test_x78_another_uri_on_one_node_is_refused_and_its_password_is_not_shown(fleet):
    uri = fleet.hosts.read(TWO, "/etc/certautopilot/mongodb-uri")
    fleet.hosts.put(TWO, "/etc/certautopilot/mongodb-uri", f"{uri.strip()}?appName=not-to-be-shown")
    try:
        status, output = fleet.play("fresh_install_three_nodes", "-vvv")
    finally:
        fleet.hosts.put(TWO, "/etc/certautopilot/mongodb-uri", uri)

    assert status != 0
    assert "install_mongodb_uri_file" in re.findall(r"they differ in ([^\n]*), expected", output)[0]
    assert "not-to-be-shown" not in output
    assert "certautopilot" not in fleet.database("client.list_database_names()")


def test_x78_a_softhsm_token_on_the_first_node_only_is_explained(fleet, tmp_path):
    """Each node has a token of that label and PIN; the key is made in the first one's files."""
    pin = token(fleet, ONE)
    fleet.hosts.token(TWO, "certautopilot", pin)
    fleet.hosts.put(TWO, PIN, pin)
    folder = copied("fresh_install_pkcs11", tmp_path / "example")
    inventory = yaml.safe_load((folder / "inventory.yml").read_text())
    inventory["certautopilot"]["hosts"] = {ONE: None, TWO: None}
    (folder / "inventory.yml").write_text(yaml.safe_dump(inventory))

    status, output = fleet.play(folder)

    assert status != 0
    assert "a key that was made on another host is not in them" in output
    assert fleet.systemd(TWO, "is-active") != "active"


def test_a_further_node_takes_a_file_that_was_brought_to_it(fleet, tmp_path):
    assert fleet.play("fresh_install_env")[0] == 0
    brought = fleet.hosts.read(ONE, SECRETS)
    fleet.hosts.put(TWO, "/var/lib/brought.env", brought)
    folder = copied("fresh_install_env", tmp_path / "example", install_secrets_from="/var/lib/brought.env")
    inventory = yaml.safe_load((folder / "inventory.yml").read_text())
    inventory["certautopilot"]["hosts"] = {TWO: None}
    (folder / "inventory.yml").write_text(yaml.safe_dump(inventory))

    checked, first, again = (fleet.play(folder, *arguments) for arguments in (["--check", "--diff"], [], []))

    assert (checked[0], first[0], again[0]) == (0, 0, 0), first[1][-4000:]
    assert changed(again[1]) == {TWO: 0}
    assert fleet.hosts.read(TWO, SECRETS) == brought
    assert fleet.healthy(TWO)


def test_x70_kept_files_of_roots_become_the_services_and_keep_their_contents(fleet):
    assert fleet.play("fresh_install_env")[0] == 0
    kept = fleet.hosts.read(ONE, CONFIG), fleet.hosts.read(ONE, SECRETS)
    fleet.hosts.run(ONE, ["chown", "-R", "root:root", "/etc/certautopilot"])
    fleet.hosts.run(ONE, ["systemctl", "restart", "certautopilot.service"], check=False)

    checked = fleet.play("fresh_install_env", "--check")
    repaired = fleet.play("fresh_install_env")
    again = fleet.play("fresh_install_env")

    assert (checked[0], repaired[0], again[0]) == (0, 0, 0), repaired[1][-4000:]
    assert changed(repaired[1])[ONE] > 0
    assert changed(again[1])[ONE] == 0
    assert fleet.owner(ONE, CONFIG) == "certautopilot:certautopilot 640"
    assert (fleet.hosts.read(ONE, CONFIG), fleet.hosts.read(ONE, SECRETS)) == kept
    assert fleet.healthy(ONE)


def test_x24_secrets_that_others_can_read_are_refused_and_not_mended(fleet):
    assert fleet.play("fresh_install_env")[0] == 0
    fleet.hosts.run(ONE, ["chmod", "0644", SECRETS])

    status, output = fleet.play("fresh_install_env")

    assert status != 0
    assert "others may read it" in output
    assert fleet.owner(ONE, SECRETS).endswith(" 644")


def test_x71_a_key_that_root_made_earlier_is_found_before_anything_is_written(fleet):
    token(fleet, ONE)
    fleet.hosts.run(ONE, ["sh", "-c", "chown -R root:root /var/lib/softhsm/tokens/*"])

    status, output = fleet.play("fresh_install_pkcs11")

    assert status != 0
    assert "install.access" in output
    assert "chown -R certautopilot:certautopilot /var/lib/softhsm/tokens/" in output
    assert fleet.files(ONE) == [*GIVEN, Path(PIN).name]


def test_a_sandbox_without_write_paths_for_the_token_is_found_as_the_services(fleet):
    """ProtectSystem=strict makes /var/lib/softhsm read-only for the service, and for nobody else."""
    token(fleet, ONE)
    drop_in = "/etc/systemd/system/certautopilot.service.d"
    fleet.hosts.run(ONE, ["mkdir", "-p", drop_in])
    fleet.hosts.put(ONE, f"{drop_in}/strict.conf", "[Service]\nReadWritePaths=\n", mode="0644")
    fleet.hosts.run(ONE, ["systemctl", "daemon-reload"])
    try:
        status, output = fleet.play("fresh_install_pkcs11")
    finally:
        fleet.hosts.run(ONE, ["rm", "-r", drop_in])
        fleet.hosts.run(ONE, ["systemctl", "daemon-reload"])

    assert status != 0
    assert "which is read-only for the service" in output
    assert "add ReadWritePaths=/var/lib/softhsm/tokens" in output
