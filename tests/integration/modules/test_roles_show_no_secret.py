# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Tasks of roles, run by Ansible at its most talkative: what is in an installation's files stays there."""

from __future__ import annotations

import base64
import os
import subprocess
import sys

import pytest
import yaml

from .conftest import ROOT

PASSWORD = "a-password-in-config-6622"


@pytest.fixture
def role(tmp_path, monkeypatch):
    """Return a function that runs one task file of a role at -vvvv --diff, and returns (status, output)."""
    monkeypatch.delenv("ANSIBLE_CONFIG", raising=False)

    def run(name, tasks_from, variables):
        include = {"name": f"certautopilot.ops.{name}", "tasks_from": tasks_from}
        task = {"name": "Run it", "ansible.builtin.include_role": include, "vars": variables}
        playbook = tmp_path / "play.yml"
        playbook.write_text(yaml.safe_dump([{"hosts": "localhost", "gather_facts": False, "tasks": [task]}]))
        environment = {
            **os.environ,
            "ANSIBLE_COLLECTIONS_PATH": str(ROOT / ".build" / "collections"),
            "ANSIBLE_HOME": str(tmp_path / "ansible"),
            "ANSIBLE_PYTHON_INTERPRETER": sys.executable,
            "ANSIBLE_NOCOLOR": "1",
        }
        command = [
            sys.executable,
            "-m",
            "ansible",
            "playbook",
            "-i",
            "localhost,",
            "-c",
            "local",
            "-vvvv",
            "--diff",
            playbook,
        ]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300, check=False)
        return done.returncode, done.stdout + done.stderr

    return run


def forms(secret):
    """Yield the secret as it is, and in base64 at each alignment, as slurp shows a file."""
    yield secret
    for skipped in range(3):
        yield base64.b64encode(b"x" * skipped + secret.encode()).decode()[4:-4]


def test_x23_a_kept_config_with_the_databases_password_is_compared_and_not_shown(role, tmp_path):
    config = tmp_path / "config.yaml"
    server = {"host": "127.0.0.1", "port": 18181}
    config.write_text(yaml.safe_dump({"database": {"uri": f"mongodb://app:{PASSWORD}@db/cap"}, "server": server}))
    kept = {"install_config_file": str(config), "install_server_host": "127.0.0.1", "install_server_port": 18181}

    status, output = role("install", "kept.yml", {**kept, "__install_has_config": True, "__install_has_secrets": False})

    assert status == 0, output[-2000:]
    assert "config.yaml says what the options say" in output
    assert [form for form in forms(PASSWORD) if form in output] == []


def test_x30_a_role_refuses_a_secret_in_its_environment_before_a_host_is_reached(role, tmp_path):
    given = {"SOFTHSM2_CONF": "/nowhere", "CERTAUTOPILOT_ENCRYPTION_PKCS11_PIN": PASSWORD}
    variables = {"backup_environment": given, "backup_dest": str(tmp_path / "out"), "backup_config_file": "/dev/null"}

    status, output = role("backup", "main.yml", {**variables, "backup_secrets_file": "/dev/null"})

    assert status != 0
    assert "settings.environment" in output
    assert "CERTAUTOPILOT_ENCRYPTION_PKCS11_PIN" in output
    assert [form for form in forms(PASSWORD) if form in output] == []
