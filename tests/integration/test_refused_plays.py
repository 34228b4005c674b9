# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Plays that are refused before a host is asked for anything: by their strategy, or by options that do not exist."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from tests.support.processes import REPOSITORY

DESTINATION = {"provider": "env", "mongodb_uri_file": "/nowhere/uri", "mongodb_database": "new"}


def play(folder, role, *, variables=None, **keywords):
    """Run a role on two local hosts and return (exit status, output)."""
    local = {"ansible_connection": "local", "ansible_python_interpreter": sys.executable}
    sides = {side: {"hosts": {name: {**local, "certautopilot_config_file": f"{folder}/{name}/config.yaml"}}}
             for side, name in (("source", "old"), ("destination", "new"))}  # fmt: skip
    group = {"hosts": {"old": {}, "new": {}}}
    (folder / "hosts.yml").write_text(yaml.safe_dump({"all": {"children": {**sides, "certautopilot": group}}}))
    whole = {"hosts": "old:new", "gather_facts": False, "vars": variables or {}, "roles": [role], **keywords}
    (folder / "play.yml").write_text(yaml.safe_dump([whole]))
    environment = {
        **os.environ,
        "ANSIBLE_COLLECTIONS_PATH": str(REPOSITORY / ".build/collections"),
        "ANSIBLE_LOCAL_TEMP": str(folder / "ansible"),
    }
    command = [Path(sys.executable).parent / "ansible-playbook", "-i", folder / "hosts.yml", folder / "play.yml"]
    ended = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=900)
    return ended.returncode, ended.stdout + ended.stderr


@pytest.mark.parametrize("strategy", ["free", "host_pinned"])
@pytest.mark.parametrize(("role", "variables"), [
    ("migrate", {"migrate_destination": DESTINATION}),
    ("rotate", {"rotate_to_version": 2}),
    ("install", {f"install_{name}": value for name, value in DESTINATION.items()}),
])  # fmt: skip
def test_x81_a_strategy_that_lets_hosts_run_ahead_is_refused_by_its_name(tmp_path, role, variables, strategy):
    status, output = play(tmp_path, f"certautopilot.ops.{role}", variables=variables, strategy=strategy)

    assert status == 2
    assert f"play.not_in_step: the play's strategy is {strategy}" in output
    assert "changed=0" in output
    assert "did not finish" not in output, "a false reason"


@pytest.mark.parametrize(("wrong", "said"), [
    ({"server_prot": 18182}, "server_prot"),
    ({"server_port": "https"}, "server_port"),
    ({"provider": "hsm"}, "provider"),
])  # fmt: skip
def test_x82_a_destinations_option_that_is_none_is_refused_as_it_was_written(tmp_path, wrong, said):
    status, output = play(
        tmp_path, "certautopilot.ops.migrate", variables={"migrate_destination": {**DESTINATION, **wrong}}
    )

    assert status == 2
    assert said in output
    assert "install_" not in output
    assert "Backup" not in output


def test_x82_hosts_of_one_destination_that_are_told_different_things_are_refused(tmp_path):
    variables = {"migrate_destination": {**DESTINATION, "mongodb_database": "{{ inventory_hostname }}"}}
    local = {"ansible_connection": "local", "ansible_python_interpreter": sys.executable}
    hosts = {name: {**local, "certautopilot_config_file": f"{tmp_path}/{name}.yaml"} for name in ("old", "a", "b")}
    groups = {"source": {"hosts": {"old": hosts["old"]}}, "destination": {"hosts": {"a": hosts["a"], "b": hosts["b"]}}}
    (tmp_path / "three.yml").write_text(yaml.safe_dump({"all": {"children": groups, "vars": variables}}))
    environment = {**os.environ, "ANSIBLE_COLLECTIONS_PATH": str(REPOSITORY / ".build/collections")}
    command = [
        Path(sys.executable).parent / "ansible-playbook", "-i", tmp_path / "three.yml", "certautopilot.ops.migrate",
        "-e", "certautopilot_runtime=false",
    ]  # fmt: skip

    ended = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=900)

    assert ended.returncode == 2
    assert "migrate_destination of b is not what it is for a (differing: mongodb_database)" in ended.stdout
