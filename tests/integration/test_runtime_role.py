# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The role runtime on hosts whose python3 is too old for the modules (X77): it finds another Python, or says so."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
import yaml

from tests.support import old_python

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def wheel(tmp_path):
    """Return a distribution that needs nothing and no index."""
    path = tmp_path / "harmless-1.0-py3-none-any.whl"
    info = "harmless-1.0.dist-info"
    with zipfile.ZipFile(path, "w") as packed:
        packed.writestr("harmless.py", "")
        packed.writestr(f"{info}/METADATA", "Metadata-Version: 2.1\nName: harmless\nVersion: 1.0\n")
        packed.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        packed.writestr(f"{info}/RECORD", f"harmless.py,,\n{info}/METADATA,,\n{info}/WHEEL,,\n{info}/RECORD,,\n")
    return path


@pytest.fixture
def run(tmp_path, wheel):
    """Return run(*pythons): the role on this host, and what it printed; `interpreter` is what later tasks would use."""
    made, kept = tmp_path / "venv", tmp_path / "interpreter"

    def played(*pythons):
        variables = {"runtime_path": str(made), "runtime_packages": [str(wheel)], "runtime_pythons": list(pythons)}
        keep = {"content": "{{ ansible_python_interpreter }}", "dest": str(kept)}
        tasks = [
            {"ansible.builtin.include_role": {"name": "certautopilot.ops.runtime"}},
            {"ansible.builtin.copy": keep},
        ]
        playbook = tmp_path / "play.yml"
        playbook.write_text(
            yaml.safe_dump([{"hosts": "localhost", "gather_facts": False, "vars": variables, "tasks": tasks}])
        )
        ended = subprocess.run(
            [Path(sys.executable).parent / "ansible-playbook", "-i", "localhost,", "-c", "local", playbook],
            env={
                **os.environ,
                "ANSIBLE_COLLECTIONS_PATH": str(ROOT / ".build" / "collections"),
                "ANSIBLE_HOME": str(tmp_path / "ansible"),
                "ANSIBLE_PYTHON_INTERPRETER": sys.executable,
                "ANSIBLE_NOCOLOR": "1",
            },
            capture_output=True, text=True, timeout=300, check=False,
        )  # fmt: skip
        return ended.returncode, ended.stdout + ended.stderr, kept.read_text() if kept.exists() else ""

    played.path = made
    return played


def version_of(python):
    code = "import sys; print(list(sys.version_info[:2]))"
    told = subprocess.run([python, "-c", code], capture_output=True, check=True)  # runs: python (of the environment)
    return tuple(json.loads(told.stdout))


def test_x77_the_first_python_that_is_new_enough_makes_the_environment_and_a_second_run_changes_nothing(run, tmp_path):
    old = old_python.stand_in(tmp_path / "old")

    first, second = (run("/nowhere/python3", old.command, sys.executable) for _run in range(2))

    assert first[0] == second[0] == 0, first[1] + second[1]
    assert first[2] == second[2] == str(run.path / "bin/python")
    assert version_of(first[2]) == sys.version_info[:2]
    assert "changed=2" in first[1]  # the environment, and this test's own file
    assert "changed=0" in second[1]


def test_x77_a_host_without_a_python_that_is_new_enough_is_told_what_was_found_and_gets_no_environment(run, tmp_path):
    old = old_python.stand_in(tmp_path / "old")

    status, output, _interpreter = run("/nowhere/python3", old.command)

    assert status == 2
    assert f"runtime.python_missing: none of /nowhere/python3, {old.command} is Python 3.11 or newer" in output
    assert "(found: 3.9.99)" in output
    assert not run.path.exists()


def test_x77_an_environment_of_an_old_python_is_named_and_not_touched(run, tmp_path):
    old = old_python.stand_in(tmp_path / "old")
    (run.path / "bin").mkdir(parents=True)
    (run.path / "bin/python").symlink_to(old.command)

    status, output, _interpreter = run(sys.executable)

    assert status == 2
    assert f"runtime.python_too_old: {run.path} is a virtual environment of Python 3.9.99" in output
    assert [path.name for path in (run.path / "bin").iterdir()] == ["python"]
