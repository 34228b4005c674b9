# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The role runtime as Ansible runs it: check mode, a first and a second run, what is remembered, and what is refused.

The libraries have their names only (tests/support/tiny_libraries.py); tests/integration/hosts has the real ones.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from tests.support import old_python, tiny_libraries

ROOT = Path(__file__).resolve().parents[3]
BASE = os.path.realpath(sys._base_executable)
# What a playbook does: the role, tasks that need the libraries, and the end of check mode.
ROLE = {"ansible.builtin.include_role": {"name": "certautopilot.ops.runtime"}}
LEFT = {**ROLE, "vars": {"runtime_state": "left"}, "when": "ansible_check_mode"}
USED = {
    "name": "A later task has the libraries",
    "ansible.builtin.command": {
        "argv": ["{{ ansible_python_interpreter }}", "-c", "import pyrage, sys; print(sys.prefix)"]
    },
    "register": "used",
    "changed_when": False,
    "check_mode": False,
}
KEEP = {"ansible.builtin.copy": {"content": "{{ used.stdout }}", "dest": "{{ kept }}"}, "check_mode": False,
        "changed_when": False, "diff": False}  # fmt: skip


class Host:
    """This machine, as a host that the role knows nothing of. text: what the wheels hold."""

    def __init__(self, folder):
        self.folder, self.path, self.fact = (
            folder,
            folder / "opt" / "runtime",
            folder / "facts.d" / "certautopilot.fact",
        )
        self.path.parent.mkdir()
        self.wheels, self.kept = folder / "wheels", folder / "kept"
        (folder / "lock.txt").write_text(tiny_libraries.write_wheels(self.wheels))

    def play(self, *arguments, tasks=(ROLE, USED, KEEP, LEFT), **variables):
        """Return (status, output, environment that the later task ran in)."""
        book = self.folder / "play.yml"
        book.write_text(yaml.safe_dump([{"hosts": "localhost", "gather_facts": False, "tasks": list(tasks)}]))
        given = {
            "runtime_path": str(self.path), "runtime_lock": str(self.folder / "lock.txt"), "kept": str(self.kept),
            "runtime_wheels": str(self.wheels), "runtime_fact_file": str(self.fact), "runtime_pythons": [BASE],
            **variables,
        }  # fmt: skip
        self.kept.unlink(missing_ok=True)
        line = [Path(sys.executable).parent / "ansible-playbook", "-i", "localhost,", "-c", "local", *arguments]
        ended = subprocess.run(
            [*line, "-e", json.dumps(given), book],
            env={
                **os.environ,
                "ANSIBLE_COLLECTIONS_PATH": str(ROOT / ".build" / "collections"),
                "ANSIBLE_HOME": str(self.folder / "ansible"),
                "ANSIBLE_PYTHON_INTERPRETER": sys.executable,
                "ANSIBLE_PIPELINING": "true",
                "ANSIBLE_NOCOLOR": "1",
                "TMPDIR": str(self.folder / "tmp"),
            },
            capture_output=True, text=True, timeout=300, check=False,
        )  # fmt: skip
        return ended.returncode, ended.stdout + ended.stderr, self.kept.read_text() if self.kept.exists() else ""

    def left(self):
        """Return what is there of environments, facts and private folders."""
        return sorted(
            path.name for place in (self.path.parent, self.fact.parent, self.folder / "tmp") if place.exists()
            for path in place.iterdir() if "ansible-local" not in path.name
        )  # fmt: skip


@pytest.fixture
def host(tmp_path):
    (tmp_path / "tmp").mkdir()
    return Host(tmp_path)


def changed(output):
    return int(re.search(r"changed=(\d+)", output).group(1))


def test_x76_check_mode_then_a_run_then_a_second_run(host):
    old = old_python.stand_in(host.folder / "old")
    pythons = {"runtime_pythons": ["/nowhere/python3", old.command, BASE]}

    checked = host.play("--check", "--diff", **pythons)
    left = host.left()
    first, second, again = (host.play(*arguments, **pythons) for arguments in ((), (), ("--check",)))

    assert [status for status, _output, _used in (checked, first, second, again)] == [0] * 4, checked[1] + first[1]
    assert [changed(output) for _status, output, _used in (checked, first, second, again)] == [1, 1, 0, 0]
    assert left == []  # the later task of check mode had the libraries, and nothing of them stays
    assert "runtime-check/env-" in checked[2]
    assert re.search(r"^\+ +\"?pymongo\"?: \"?1\.0", checked[1], re.MULTILINE), checked[1]
    assert first[2] == second[2] == again[2] == str((host.path / "current").resolve())
    assert host.left() == ["certautopilot.fact", "runtime"]
    fact = json.loads(host.fact.read_text())
    assert fact["python"] == f"{first[2]}/bin/python"
    assert host.fact.stat().st_mode & 0o777 == 0o644


def test_x76_a_damaged_environment_is_made_anew_and_what_was_remembered_follows(host):
    place = tiny_libraries.write_environment(host.path, (host.folder / "lock.txt").read_text())
    before = host.play()
    (place / "bin" / "python").unlink()

    status, output, used = host.play()

    assert (before[0], changed(before[1]), before[2]) == (0, 1, str(place))  # it was fit, and not remembered yet
    assert (status, changed(output)) == (0, 1), output
    assert used not in ("", str(place))
    assert json.loads(host.fact.read_text())["python"] == f"{used}/bin/python"


def test_x76_a_playbook_without_the_role_has_the_remembered_interpreter_unless_the_inventory_names_one(host):
    place = tiny_libraries.write_environment(host.path, (host.folder / "lock.txt").read_text())
    host.play()
    off = {"certautopilot_runtime": "false"}

    remembered = host.play(tasks=(ROLE, USED, KEEP), **off)
    inventory = host.folder / "hosts"
    inventory.write_text(f"localhost ansible_connection=local ansible_python_interpreter={sys.executable}\n")
    kept = host.play("-i", inventory, tasks=(ROLE, USED, KEEP), **off)

    assert (remembered[0], changed(remembered[1]), remembered[2]) == (0, 0, str(place)), remembered[1]
    assert (kept[0], kept[2]) == (0, sys.prefix), kept[1]


def test_x77_a_host_without_a_python_that_is_new_enough_is_told_what_was_found_and_nothing_is_made(host):
    old = [*old_python.installed(), old_python.stand_in(host.folder / "old")]  # a machine may have no real one

    status, output, _used = host.play(runtime_pythons=["/nowhere/python3", *(one.command for one in old)])

    assert status == 2
    assert "runtime.python_missing: none of /nowhere/python3, " in output
    assert [one.version for one in old if f"{one.command} is {one.version}" not in output] == []
    assert "expected one; on this host" in output
    assert host.left() == []


def test_x76_a_python_without_what_makes_environments_is_told_apart(host):
    bare = host.folder / "python3.11"
    said = {
        "name": "python3.11",
        "path": "/usr/bin/python3.11",
        "version": "3.11.2",
        "venv": False,
        "machine": "x86_64",
    }
    bare.write_text(f"#!/bin/sh\necho 'certautopilot-python {json.dumps(said)}'\n")
    bare.chmod(0o755)

    status, output, _used = host.play(runtime_pythons=[str(bare)])

    assert status == 2
    assert "runtime.venv_missing" in output
    assert host.left() == []


def test_x76_wheels_that_the_folder_lacks_are_named_with_the_command_that_brings_them(host):
    (host.wheels / "pyrage-1.0-py3-none-any.whl").unlink()

    status, output, _used = host.play()

    assert status == 2
    assert "runtime.wheels_missing" in output
    assert "of pyrage 1.0, expected" in output
    assert f"--dest {host.wheels}" in output
    assert host.left() == []


def test_an_extra_variable_that_would_win_over_the_environment_is_told(host):
    tiny_libraries.write_environment(host.path, (host.folder / "lock.txt").read_text())

    status, output, _used = host.play(ansible_python_interpreter=sys.executable)

    assert status == 2
    assert "runtime.not_used" in output


def test_what_pip_says_reaches_the_operator_and_the_private_folder_is_gone(host):
    tiny_libraries.write_wheels(host.wheels, "exchanged")

    status, output, _used = host.play()

    assert status == 2
    assert "runtime.not_installed" in output
    assert "DO NOT MATCH THE HASHES" in output
    assert host.left() == ["runtime"]
