# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Modules as Ansible runs them: packed, shipped, executed, their results read back."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[3]
COLLECTION = "certautopilot.ops"


@dataclass(frozen=True)
class Played:
    """One ansible-playbook run. output: everything it printed. results: what each task registered, in order."""

    status: int
    output: str
    results: list[dict[str, Any]]


@pytest.fixture
def play(tmp_path, monkeypatch):
    """Return a function that runs module calls, each (module, options, task keywords), as tasks of one play."""
    monkeypatch.delenv("ANSIBLE_CONFIG", raising=False)

    def run(*calls, arguments=(), pipelining=True):
        results = tmp_path / "results.json"
        results.unlink(missing_ok=True)
        tasks = [
            {"name": f"Call {i}", f"{COLLECTION}.{module}": options, "register": f"result_{i}", **keywords}
            for i, (module, options, keywords) in enumerate(calls)
        ]
        names = ", ".join(f"result_{i}" for i in range(len(calls)))
        keep = {"content": f"{{{{ [{names}] | to_json }}}}", "dest": str(results)}
        quiet = {"check_mode": False, "diff": False, "no_log": True}
        tasks.append({"name": "Keep the results", "ansible.builtin.copy": keep, **quiet})
        playbook = tmp_path / "play.yml"
        playbook.write_text(yaml.safe_dump([{"hosts": "localhost", "gather_facts": False, "tasks": tasks}]))
        ended = subprocess.run(
            [Path(sys.executable).parent / "ansible-playbook", "-i", "localhost,", "-c", "local", *arguments, playbook],
            env={
                **os.environ,
                "ANSIBLE_COLLECTIONS_PATH": str(ROOT / ".build" / "collections"),
                "ANSIBLE_HOME": str(tmp_path / "ansible"),
                "ANSIBLE_PYTHON_INTERPRETER": sys.executable,
                "ANSIBLE_PIPELINING": str(pipelining).lower(),
                "ANSIBLE_NOCOLOR": "1",
                "ANSIBLE_LOCALHOST_WARNING": "false",
            },
            capture_output=True, text=True, timeout=300, check=False,
        )  # fmt: skip
        found = json.loads(results.read_text()) if results.exists() else []
        return Played(ended.returncode, ended.stdout + ended.stderr, found)

    return run


def files_of(site):
    """Return the options that point a module at a site."""
    return {"config_file": str(site.config_file), "secrets_file": str(site.secrets_file)}
