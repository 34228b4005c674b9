# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which commands the files of this repository call, found by reading them.

    for call in called(root, names):
        print(call.command, call.place)

It looks at what Python gives to `subprocess`, `os` and testinfra (`from_python.py`), at the recipes of the Makefile and
at shell scripts (`from_shell.py`), and at the tasks of Ansible that run a command (`from_tasks.py`). What the commands
call in their turn is not seen. tests/unit/test_commands_are_declared.py holds the result against `.ci/commands.py`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from . import from_python, from_shell, from_tasks

UNKNOWN = from_python.UNKNOWN


@dataclass(frozen=True, order=True)
class Call:
    """command: a name without its folder, `{{variable}}`, `host.NAME` or UNKNOWN. place: file and line, or the task."""

    command: str
    place: str


def called(root: Path, names: Iterable[str]) -> list[Call]:
    """Return all calls in the files `names`, paths from `root`; files of other kinds are left out."""
    texts = {name: (root / name).read_text(encoding="utf-8", errors="replace") for name in names}
    kinds = {name: _kind(name, text) for name, text in texts.items()}
    python = {name: text for name, text in texts.items() if kinds[name] == "python"}
    found = [Call(command, f"{name}:{line}") for name, line, command in from_python.calls(python)]
    for name, text in texts.items():
        if kinds[name] == "tasks":
            found += [Call(command, f"{name}: {task}") for task, command in from_tasks.calls(text)]
        elif kinds[name] == "make":
            found += [Call(command, f"{name}:{line}") for line, command in from_shell.recipes(text)]
        elif kinds[name] == "shell":
            found += [Call(command, name) for command in from_shell.commands(text)]
    return sorted(set(found))


def _kind(name: str, text: str) -> str:
    """Return how a file is read: python, tasks, make, shell, or "" for not at all."""
    last = name.rpartition("/")[2]
    if last.endswith(".py"):
        return "python"
    if last.endswith((".yml", ".yaml")) and name.startswith(("roles/", "playbooks/", "molecule/")):
        return "tasks"
    if last in ("Makefile", "GNUmakefile") or last.endswith(".mk"):
        return "make"
    return "shell" if last.endswith(".sh") or re.match(r"#!.*\b(ba|da)?sh\b", text) else ""
