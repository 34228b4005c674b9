# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The failure codes of roles and playbooks, read from the tasks that fail with them (ADR-0020).

    python -m tests.support.role_codes     one line for each code and place

A code is where `certautopilot.ops.require` has it, beside msg and hint; or a mapping with the same keys among a role's
variables, which a task passes on. `migrate.<stage>` is one code for each stage that the role lists. A code that is
taken from another failure as it is, `{{ x.code }}`, is none of the role's own.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parents[2]
REQUIRE = "certautopilot.ops.require"
TEMPLATE = re.compile(r"{{.*?}}")
STAGE = re.compile(r"migrate\.{{ __migrate_(stage_next|failed_stage) }}")


@dataclass(frozen=True, slots=True)
class RoleCode:
    """task: its name, which says what must be true. msg, hint: templates in them. place: file, from the root."""

    code: str
    task: str
    msg: str
    hint: str
    place: str


def role_codes() -> list[RoleCode]:
    """Return every code of every role and playbook with every task that fails with it, sorted."""
    files = [*ROOT.glob("roles/*/tasks/**/*.yml"), *ROOT.glob("roles/*/vars/*.yml"), *ROOT.glob("playbooks/*.yml")]
    found = {
        one
        for path in files
        for name, given in failures_in(yaml.safe_load(path.read_text(encoding="utf-8")))
        for one in _codes(name, given, str(path.relative_to(ROOT)))
    }
    return sorted(found, key=lambda one: (one.code, one.place, one.task))


def failures_in(document: Any, name: str = "") -> Iterator[tuple[str, dict[str, str]]]:
    """Yield (name of the task or variable, its mapping with code, msg and hint) from a YAML document."""
    if isinstance(document, list):
        for entry in document:
            yield from failures_in(entry, name)
    elif isinstance(document, dict):
        if "code" in document and "msg" in document:
            yield name, document
        for key, value in document.items():
            yield from failures_in(value, document.get("name", name) or key)


def stages() -> list[str]:
    """Return the stages of the role migrate, in their order."""
    variables = yaml.safe_load((ROOT / "roles/migrate/vars/main.yml").read_text(encoding="utf-8"))
    return [*variables["__migrate_stages"], *variables["__migrate_stages_after_acceptance"]]


def _codes(name: str, given: dict[str, str], place: str) -> Iterator[RoleCode]:
    code = given["code"]
    if STAGE.fullmatch(code):
        codes = [f"migrate.{stage}" for stage in stages()]
    elif TEMPLATE.fullmatch(code):
        codes = []
    else:
        codes = [code]
    for one in codes:
        yield RoleCode(one, name, given["msg"].strip(), given["hint"].strip(), place)


if __name__ == "__main__":
    for entry in role_codes():
        print(f"{entry.code}\t{entry.place}\t{entry.task}\t{entry.hint}")
