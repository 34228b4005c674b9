# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""No transition of a model without code, and no stage, state, move or task that starts and stops without a transition.

docs/models/transitions.yml joins the two. What is `pending` there has no code yet.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

import pytest
import yaml
from ansible_collections.certautopilot.ops.plugins.module_utils._domain.rotation_states import MOVES, State

from tests.support.repository import ROOT, files, text

FOLDER = "docs/models"
TABLE = yaml.safe_load(text(f"{FOLDER}/transitions.yml"))
MODELS = ("migration", "rotation")
# What a task may not do in roles/migrate without a transition that says so.
ACTS = {"product_service", "return_switch", "fleet_quiet", "migration_accept"}
INCLUDES = {"certautopilot.ops.service"}
LOOKS = {"account.yml", "switch_looked_at.yml"}  # files of that role that change nothing
ACTING = ("roles/migrate/tasks/", "roles/rollback/tasks/", "roles/retire_old_install/tasks/")

NAMED = re.compile(r"/\* by: ([\w.]+) \*/")
SAID = re.compile(r"/\* (?:by|world|operator): ")


def model(name: str) -> str:
    return text(f"{FOLDER}/{name}.pml")


def tasks(nodes: object) -> Iterator[dict]:
    """Yield all tasks of a file, those of blocks too."""
    for node in nodes if isinstance(nodes, list) else []:
        yield node
        for part in ("block", "rescue", "always"):
            yield from tasks(node.get(part))


def tasks_of(name: str) -> list[dict]:
    return list(tasks(yaml.safe_load(text(name))))


def functions(nodes: list[ast.stmt], around: str = "") -> Iterator[str]:
    for node in nodes:
        if isinstance(node, ast.ClassDef):
            yield from functions(node.body, f"{node.name}.")
        elif isinstance(node, ast.FunctionDef):
            yield around + node.name


def places(name: str) -> Iterator[tuple[str, dict]]:
    """Yield (transition, where its code is), also of other roles that make the same move."""
    for transition, entry in TABLE[name].items():
        yield transition, entry
        yield from ((transition, other) for other in entry.get("also", []))


def acts(task: dict) -> bool:
    included = task.get("ansible.builtin.include_role") or task.get("ansible.builtin.import_role") or {}
    changes = included.get("name") in INCLUDES and included.get("tasks_from") not in LOOKS
    return changes or any(f"certautopilot.ops.{module}" in task for module in ACTS)


@pytest.mark.parametrize("name", MODELS)
def test_model_and_table_name_the_same_transitions(name):
    assert set(NAMED.findall(model(name))) == set(TABLE[name])


@pytest.mark.parametrize("name", MODELS)
def test_every_change_of_what_is_shared_says_who_makes_it(name):
    """A block of a process that changes something says by whom; `Always` only looks, `init` comes before."""
    whole = re.sub(r"proctype Always.*?\n}\n|init \{.*?\n}\n", "", model(name), flags=re.DOTALL)
    blocks = [match.start() for match in re.finditer(r"\batomic \{", whole)]
    silent = []
    for start in blocks:
        block = whole[start : whole.find("\n", whole.find("\n", start) + 1)]
        changes = re.search(
            r"\b(?:up|runs|boots|retired|armed|record|turn_\w+|ver|state|token|lease)\b(?:\[\w+\])? = ", block
        )
        if changes and not SAID.search(block):
            silent.append(block)

    assert silent == []


@pytest.mark.parametrize("name", MODELS)
def test_every_transition_has_its_code(name):
    missing = []
    for transition, entry in places(name):
        if "file" not in entry:
            continue
        if not (ROOT / entry["file"]).is_file():
            missing.append(f"{transition}: {entry['file']}")
        elif "task" in entry and entry["task"] not in {task.get("name") for task in tasks_of(entry["file"])}:
            missing.append(f"{transition}: {entry['file']}: {entry['task']}")
        elif "function" in entry and entry["function"] not in set(functions(ast.parse(text(entry["file"])).body)):
            missing.append(f"{transition}: {entry['file']}: {entry['function']}")

    assert missing == []


def test_what_has_no_code_is_said_to_be_pending_or_a_cure():
    without = {name for model in MODELS for name, entry in TABLE[model].items() if "file" not in entry}

    assert without == {*TABLE["pending"], *TABLE["cures"]}


def test_every_stage_of_a_migration_has_a_transition():
    variables = yaml.safe_load(text("roles/migrate/vars/main.yml"))
    stages = {*variables["__migrate_stages"], *variables["__migrate_stages_after_acceptance"]}

    staged = {entry["stage"] for entry in TABLE["migration"].values()}

    assert stages - staged == set()
    assert staged - stages == {"preflight", "turn", "resume", "back"}


def test_every_task_that_starts_stops_arms_or_accepts_has_a_transition():
    named = {(entry.get("file"), entry.get("task")) for _transition, entry in places("migration")}
    acting = {
        (name, task.get("name")) for name in files() if name.startswith(ACTING) for task in tasks_of(name) if acts(task)
    }

    assert acting, "there are such tasks"
    assert acting - named == set()


def test_every_state_of_a_rotation_and_every_move_is_in_the_model():
    written = {tuple(pair) for entry in TABLE["rotation"].values() for pair in entry.get("moves", [])}
    moved = {(a.lower(), b.lower()) for a, b in re.findall(r"MOVES\((\w+), (\w+)\)", model("rotation"))} - {
        ("from", "into")
    }
    entered = {into for _leaves, into in moved | written} | {
        entry.get("enters") for entry in TABLE["rotation"].values()
    }

    assert moved | written == {(str(leaves), str(enters)) for leaves, after in MOVES.items() for enters in after}
    assert {str(state) for state in State} - entered == set()
