# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A role that is begun in its middle says so before it touches anything (X85): by real runs of ansible-playbook."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from tests.support.demo import ansible_environment
from tests.support.lab import Lab

ROOT = Path(__file__).resolve().parents[2]
ROLES = sorted(path.name for path in (ROOT / "roles").iterdir())
# Each of its entries does what its name says without the others.
WHOLE_IN_ITSELF = {
    "Service | its unit is used where systemd is the manager",
    "Service | its commands are run where it is no unit",
    "Service | no process of the fleet goes on",
    "Runtime | what check mode made is gone",
}


def entries(role):
    """Return the names of the tasks that are known before the run, which are those where one can be begun."""

    def found(tasks):
        for task in tasks:
            if "block" in task:
                yield from found([*task["block"], *task.get("rescue", []), *task.get("always", [])])
            else:
                yield task["name"]

    return list(found(yaml.safe_load((ROOT / "roles" / role / "tasks" / "main.yml").read_text())))


KIND = {"retire_old_install": "retire"}  # role -> the first word of its codes, where that is not its name
JUMPS = [(role, name) for role in ROLES for name in entries(role)[1:] if name not in WHOLE_IN_ITSELF]


@pytest.fixture
def lab(tmp_path):
    """An inventory of two hosts, without anything behind it: what is refused first needs nothing."""
    made = Lab(tmp_path / "lab")
    made.folder.mkdir()
    host = {"ansible_connection": "local", "ansible_python_interpreter": sys.executable, "certautopilot_runtime": False}
    sides = {"source": {"hosts": {"old": host}}, "destination": {"hosts": {"new": host}}}
    made.inventory.write_text(yaml.safe_dump({"all": {"children": {**sides, "certautopilot": {"hosts": {"new": {}}}}}}))
    return made


def play(lab, book, *arguments, answers=""):
    command = [Path(sys.executable).parent / "ansible-playbook", "-i", lab.inventory, book, *arguments]
    done = subprocess.run(
        command, env=ansible_environment(lab), input=answers, capture_output=True, text=True, check=False, timeout=900
    )
    return done.returncode, done.stdout + done.stderr


def names_in(folder):
    return {path.name for path in folder.iterdir()}


def role_alone(lab, role):
    book = lab.folder / "play.yml"
    hosts = "source:destination" if role == "migrate" else "new"
    book.write_text(yaml.safe_dump([{"hosts": hosts, "gather_facts": False, "roles": [f"certautopilot.ops.{role}"]}]))
    return book


def test_x85_every_role_has_few_entries_and_those_behind_the_first_are_tried_here():
    assert {role for role, _name in JUMPS} == {
        "backup", "install", "kubernetes", "migrate", "retire_old_install", "rollback", "rotate", "token",
    }  # fmt: skip
    assert [role for role in ROLES if len(set(entries(role)) - WHOLE_IN_ITSELF) > 2] == []


@pytest.mark.parametrize(("role", "name"), JUMPS, ids=[role for role, _name in JUMPS])
def test_x85_a_role_that_is_begun_after_its_preflight_is_refused_with_a_code(lab, role, name):
    before = names_in(lab.folder)

    status, output = play(lab, role_alone(lab, role), "--start-at-task", name)

    assert status == 2, output
    assert re.findall(r"^ +code: (\S+)$", output, re.MULTILINE) == [f"{KIND.get(role, role)}.jumped"] * (
        2 if role == "migrate" else 1
    )
    assert "undefined" not in output
    assert "changed=0" in output
    assert names_in(lab.folder) - before <= {"ansible", "ansible.cfg", "play.yml"}


def test_x85_the_playbook_is_refused_as_its_role_is(lab):
    status, output = play(lab, "certautopilot.ops.migrate", "--start-at-task", entries("migrate")[1])

    assert (status, output.count("code: migrate.jumped")) == (2, 2)


def test_x85_a_step_that_leaves_preflight_out_is_refused(lab):
    """--step asks before each task: no to the preflight, yes to the rest."""
    destination = {"provider": "env", "mongodb_uri_file": "/nowhere", "mongodb_database": "new"}
    options = ("--step", "-e", json.dumps({"migrate_destination": destination}))

    status, output = play(lab, role_alone(lab, "migrate"), *options, answers="y\nn\n" + "y\n" * 20)

    assert status == 2, output
    assert "migrate.jumped" in output
    assert "undefined" not in output


@pytest.mark.parametrize("name", ["Stage | work of import", "Back | the destination is stopped"])
def test_x85_where_nothing_is_to_begin_at_ansible_says_so_and_nothing_runs(lab, name):
    _status, output = play(lab, "certautopilot.ops.migrate", "--start-at-task", name)

    assert "No matching task" in output
    assert "TASK [" not in output


@pytest.mark.parametrize("arguments", [("--tags", "import"), ("--skip-tags", "untagged")], ids=" ".join)
def test_x85_tags_select_a_role_whole_or_not_at_all(lab, arguments):
    status, output = play(lab, role_alone(lab, "rotate"), *arguments, "-e", "rotate_to_version=2")

    assert status == 0, output
    ran = re.findall(r"^TASK \[(.*?)\]", output, re.MULTILINE)
    assert [name for name in ran if "Validating arguments" not in name] == []
