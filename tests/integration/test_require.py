# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The action require under ansible-playbook: when it fails, and what a rescue, a person and a program then see."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from tests.support.processes import REPOSITORY

SAID = {"code": "site.limit", "msg": "limit is {{ limit }}, expected 4", "hint": "raise it"}
PLAY_VARS = {"limit": 3, "conditions": ["limit > 1", "limit < 3"], "other": {"code": "pkcs11.pin_incorrect"}}


def one(name, that, **more):
    """Return tasks that put what the action returned into `results`, by name, and go on. that: None to leave it out."""
    options = {**({} if that is None else {"that": that}), **SAID, **more}
    results = "{{ results | default({}) | combine({case: it}) }}"
    return [
        {"name": name, "certautopilot.ops.require": options, "ignore_errors": True, "register": "it"},
        {"ansible.builtin.set_fact": {"results": results}, "vars": {"case": name}},
    ]


TASKS = [
    *one("true", "limit == 3"),
    *one("all true", ["limit == 3", "limit is defined", True]),
    *one("false", "limit == 4"),
    *one("one of two is false", ["limit == 3", "limit == 4"]),
    *one("a list of a variable", "{{ conditions }}"),
    *one("always", False),
    *one("whole", False, step="count", retryable=True),
    *one("a code from elsewhere", False, code="{{ other.code }}"),
    *one("no code", False, code=""),
    *one("a sentence for a code", False, code="Limit too low"),
    *one("an option that is not", False, fail_msg="x"),
    *one("no condition", None),
]


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    folder = tmp_path_factory.mktemp("require")
    retried = {
        "name": "tried again",
        "certautopilot.ops.require": {"that": "tried.attempts | default(1) | int >= 2", **SAID},
        "register": "tried",
        "until": "tried is not failed",
        "retries": 3,
        "delay": 0,
    }
    kept = {"dest": str(folder / "results.json"), "content": "{{ results | to_json }}", "mode": "0600"}
    play = {
        "hosts": "nobody",
        "gather_facts": False,
        "vars": PLAY_VARS,
        "tasks": [*TASKS, retried, {"ansible.builtin.copy": kept, "delegate_to": "localhost"}],
    }
    (folder / "play.yml").write_text(yaml.safe_dump([play]))
    # WHY an address that does not answer: the action must not need the host.
    (folder / "hosts.yml").write_text("all: {hosts: {nobody: {ansible_host: 127.0.0.1, ansible_port: 9}}}\n")
    command = [Path(sys.executable).parent / "ansible-playbook", "-i", folder / "hosts.yml", folder / "play.yml"]
    environment = {
        **os.environ,
        "ANSIBLE_COLLECTIONS_PATH": str(REPOSITORY / ".build/collections"),
        "ANSIBLE_LOCAL_TEMP": str(folder / "ansible"),
        "ANSIBLE_PYTHON_INTERPRETER": sys.executable,
    }
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return {"output": done.stdout, **json.loads((folder / "results.json").read_text())}


@pytest.mark.parametrize("name", ["true", "all true"])
def test_conditions_that_are_true_let_the_play_go_on(results, name):
    assert (results[name]["failed"], results[name]["changed"]) == (False, False)


@pytest.mark.parametrize("name", ["false", "one of two is false", "a list of a variable", "always"])
def test_a_condition_that_is_not_true_fails_with_code_and_way_out(results, name):
    failed = results[name]

    assert failed["failed"]
    assert failed["msg"] == "site.limit: limit is 3, expected 4; raise it"
    assert failed["failure"] == {"code": "site.limit", "step": "", "retryable": False, "hint": "raise it"}


def test_step_and_retryable_are_part_of_the_failure(results):
    assert results["whole"]["failure"] == {"code": "site.limit", "step": "count", "retryable": True, "hint": "raise it"}


def test_the_code_of_another_failure_can_be_passed_on(results):
    assert results["a code from elsewhere"]["failure"]["code"] == "pkcs11.pin_incorrect"


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("no code", "expected area.what"),
        ("a sentence for a code", "expected area.what"),
        ("an option that is not", "fail_msg"),
        ("no condition", "missing required arguments: that"),
    ],
)
def test_a_task_that_is_written_wrongly_is_refused_and_is_no_failure_with_a_code(results, name, said):
    assert results[name]["failed"]
    assert said in results[name]["msg"]
    assert "failure" not in results[name]


def test_it_can_be_tried_again(results):
    assert results["output"].count("FAILED - RETRYING") >= 1
    assert "TASK [tried again]" in results["output"]
