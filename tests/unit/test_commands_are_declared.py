# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Each command that a file of this repository calls is in a table of .ci/commands.py, and `make env` can rely on it.

A bare machine lacks what every machine of ours happens to have: without this, the first to find out is a stranger.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support import repository
from tests.support.commands import UNKNOWN, called

commands = repository.script("commands")


@pytest.fixture(scope="module")
def calls():
    return called(repository.ROOT, repository.files())


def test_every_command_that_is_called_is_declared(calls):
    unread = [call.place for call in calls if call.command == UNKNOWN]
    undeclared = [f"{call.place} calls {call.command}" for call in calls if call.command not in commands.declared()]

    assert unread == [], "no name can be read here: write `# runs: NAME` at the end of the line"
    assert undeclared == [], "enter it in .ci/commands.py, with its Debian package"


def test_every_declared_command_is_called_somewhere(calls):
    found = {call.command for call in calls}

    assert commands.declared() - found - {commands.INDIRECT.get(command) for command in found} == set()


def test_what_stands_for_another_command_stands_for_a_declared_one():
    assert set(commands.INDIRECT.values()) <= commands.declared() - set(commands.INDIRECT)


def test_what_the_locks_should_bring_is_beside_the_interpreter():
    beside = Path(sys.executable).parent

    assert [name for name in sorted(commands.LOCKED) if not (beside / name).exists()] == []


def test_the_base_system_has_what_is_said_to_be_of_it():
    if shutil.which("dpkg-query") is None:
        pytest.skip("only Debian's own database tells which commands no Debian can be without")
    listed = subprocess.run(
        ["dpkg-query", "--show", "--showformat", "${Essential} ${Package}\n"],
        check=True,
        capture_output=True,
        text=True,
    )
    essential = [line.split()[1] for line in listed.stdout.splitlines() if line.startswith("yes ")]
    files = subprocess.run(["dpkg-query", "--listfiles", *essential], check=True, capture_output=True, text=True)
    # POSIX has each of these in the shell or in every system
    of_shells = {":", "cd", "echo", "exec", "exit", "export", "set", "test", "umask"}

    assert commands.BASE - of_shells - {Path(line).name for line in files.stdout.splitlines()} == set()


PYTHON = {
    "a list": "subprocess.run(['planted', '-v'], check=True)",
    "a path": "subprocess.run(['/usr/bin/planted'], check=True)",
    "a shell": "subprocess.run('cd /tmp && planted -v | grep x', shell=True)",
    "a name": "line = ['planted']\nsubprocess.Popen(line + ['-v'])",
    "a name behind a list": "tool = 'planted'\nsubprocess.run([tool, *sys.argv])",
    "a list behind a star": "base = ('planted', '-v')\nsubprocess.check_call([*base, 'x'])",
    "one of two": "subprocess.run(['git' if sys.argv else 'planted'])",
    "one of three": "for tool in ('git', 'planted', 'make'):\n    subprocess.run([tool])",
    "an empty prefix": "prefix = []\nsubprocess.run([*prefix, 'planted'])",
    "a parameter": "def run(line):\n    subprocess.run(line)\nrun(['planted'])",
    "a method's parameter": "class A:\n    def go(self, line):\n        subprocess.run(line)\nA().go(line=['planted'])",
    "a result": "def line():\n    return ['planted']\nsubprocess.run(line())",
    "a property": "class A:\n    def __init__(self):\n        self.line = ['planted']\n"
    "    def go(self):\n        subprocess.run(self.line)",
    "a search": "tool = shutil.which('planted')",
    "a system call": "os.system('planted -v')",
    "an exec": "os.execvp('planted', ['planted'])",
    "a comment": "subprocess.run(sys.argv)  # runs: planted (the caller's choice)",
}  # fmt: skip

OTHERS = {
    "a recipe": ("Makefile", "TOOL := planted\nall: ## x\n\t@mkdir -p x && \\\n\t  $(TOOL) -v\n"),
    "a recipe in our copy": ("Makefile", "IN_COPY = python .ci/in_copy.py $@\nall:\n\t$(IN_COPY) planted --strict .\n"),
    "make's own shell": ("Makefile", "V = $(shell planted --version)\n"),
    "a script": ("x.sh", "#!/bin/sh\n# text\nset -e\nif test x; then FOO=1 planted -v >x; fi\n"),
    "a substitution": ("x.sh", 'echo "it is $(planted -v)"\n'),
    "a pipe": ("tool", "#!/usr/bin/env bash\nmake env | planted\n"),
    "a shell in a script": ("x.sh", "sudo -n sh -c 'cd /x; planted'\n"),
    "a task": ("roles/r/tasks/main.yml", "- name: T\n  ansible.builtin.command:\n    argv: [planted, -v]\n"),
    "a line": ("roles/r/tasks/main.yml", "- block:\n    - name: T\n      ansible.builtin.command: planted {{ x }}\n"),
    "a task's shell": (
        "molecule/m/converge.yml",
        "- hosts: all\n  tasks:\n    - ansible.builtin.shell:\n        cmd: grep x | planted\n",
    ),
    "a loop": (
        "roles/r/tasks/main.yml",
        "- ansible.builtin.command: '{{ item }} -v'\n  loop: [git, planted]\n",
    ),
    "a lookup": ("playbooks/p.yml", "- hosts: all\n  vars:\n    x: \"{{ lookup('pipe', 'planted -v') }}\"\n"),
    "testinfra": ("molecule/m/tests/test_x.py", "def test_x(host):\n    assert host.run(f'planted {1}').rc == 0\n"),
    "testinfra's parts": ("molecule/m/tests/test_x.py", "def test_x(host):\n    assert host.planted('x')\n"),
}


@pytest.mark.parametrize("code", PYTHON.values(), ids=PYTHON.keys())
def test_a_planted_command_is_found_in_python(tmp_path, code):
    (tmp_path / "tests").mkdir()
    (tmp_path / "tests" / "x.py").write_text(f"import os, shutil, subprocess, sys\n{code}\n")

    found = {call.command for call in called(tmp_path, ["tests/x.py"])}

    assert found - commands.declared() == {"planted"}


@pytest.mark.parametrize(("name", "content"), OTHERS.values(), ids=OTHERS.keys())
def test_a_planted_command_is_found_elsewhere(tmp_path, name, content):
    (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / name).write_text(content)

    found = {call.command for call in called(tmp_path, [name])}

    assert {command.removeprefix("host.") for command in found - commands.declared()} == {"planted"}


@pytest.mark.parametrize(
    "code",
    ["subprocess.run(sys.argv)", "def run(line):\n    subprocess.run(line)", "subprocess.run(json.load(file))"],
)
def test_what_cannot_be_read_is_a_fault_and_not_passed_over(tmp_path, code):
    (tmp_path / "x.py").write_text(f"import json, subprocess, sys\n{code}\n")

    assert [call.command for call in called(tmp_path, ["x.py"])] == [UNKNOWN]


def test_a_command_is_followed_into_the_file_that_starts_it(tmp_path):
    (tmp_path / "starter.py").write_text("import subprocess\ndef go(line):\n    subprocess.run([*line, '-v'])\n")
    (tmp_path / "user.py").write_text("import starter\nstarter.go(['planted'])\n")
    (tmp_path / "stranger.py").write_text("def go(line): ...\ngo(['another'])\n")

    found = [(call.command, call.place) for call in called(tmp_path, ["starter.py", "user.py", "stranger.py"])]

    assert found == [("planted", "starter.py:3")]
