# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""No task of a role shows a file that holds a secret, and none puts one where Ansible shows it."""

from __future__ import annotations

import re

import pytest
import yaml

from tests.support.repository import ROOT

READS = ("ansible.builtin.slurp", "ansible.builtin.fetch", "ansible.builtin.command", "ansible.builtin.shell")
WRITES = (
    "ansible.builtin.template",
    "ansible.builtin.copy",
    "ansible.builtin.lineinfile",
    "ansible.builtin.blockinfile",
)
# Files of an installation: they hold secrets, or may. Names of variables say which a task means.
SECRET_FILE = re.compile(r"secret|config(?!uration)|_uri|pin|passphrase|identity|kek|its_file", re.IGNORECASE)
HOLD_NO_SECRET = ("config.yaml.j2",)  # what is new in it are options of the role that are no secrets
# Commands that print no file: what they run is the service's own.
PRINT_NO_FILE = ("service_running_command", "service_start_command", "service_stop_command")


def tasks_of(entries):
    for task in entries or ():
        yield task
        for part in ("block", "rescue", "always"):
            yield from tasks_of(task.get(part))


def all_tasks():
    for path in sorted([*ROOT.glob("roles/*/tasks/**/*.yml"), *ROOT.glob("roles/*/handlers/*.yml")]):
        for task in tasks_of(yaml.safe_load(path.read_text())):
            yield path.relative_to(ROOT), task


def test_x23_no_task_shows_a_file_that_may_hold_a_secret():
    shown = [
        f"{path}: {task['name']}"
        for path, task in all_tasks()
        for module in READS
        if module in task and SECRET_FILE.search(str(task[module])) and task.get("no_log") is not True
        and not any(command in str(task[module]) for command in PRINT_NO_FILE)
    ]  # fmt: skip

    assert shown == []


def test_x23_no_task_shows_a_difference_of_a_file_that_may_hold_a_secret():
    shown = [
        f"{path}: {task['name']}"
        for path, task in all_tasks()
        for module in WRITES
        if module in task and SECRET_FILE.search(str({**task[module], "mode": ""}))
        and task[module].get("src") not in HOLD_NO_SECRET
        and (task.get("diff") is not False or task.get("no_log") is not True)
    ]  # fmt: skip

    assert shown == []


def test_x30_every_environment_of_a_task_is_refused_with_a_secret_in_it():
    unchecked = [
        f"{path}: {task['name']}: {task['environment']}"
        for path, task in all_tasks()
        if "environment" in task and not str(task["environment"]).endswith("| certautopilot.ops.without_secrets }}")
    ]

    assert unchecked == []
    assert sum("environment" in task for _path, task in all_tasks()) >= 15


@pytest.mark.parametrize("text", ["{{ install_config_file }}", "{{ __install_its_file }}", "/etc/x/secrets.env"])
def test_the_rule_knows_files_that_may_hold_a_secret(text):
    assert SECRET_FILE.search(text)
