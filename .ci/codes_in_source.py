# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which failure codes there are: of plugins/ by their syntax, of roles/ and playbooks/ by their tasks. ADR-0021."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import yaml

ROOT = Path(__file__).resolve().parent.parent
SOURCES = ("action", "filter", "module_utils", "plugin_utils")
CODE = re.compile(r"[a-z0-9_]+\.[a-z_]+")
FILES = (".age", ".csv", ".json", ".pem", ".zip")  # what looks like a code and is the name of a file
# One code for each stage of a migration, all with one text. `{{ x.code }}` passes on a code from somewhere else.
STAGE = re.compile(r"(?<=^migrate\.){{ __migrate_(?:stage_next|failed_stage) }}$")


@dataclass
class Found:
    """What the source says of its codes."""

    codes: set[str] = field(default_factory=set)
    retryable: set[str] = field(default_factory=set)
    texts: dict[str, str] = field(default_factory=dict)  # code -> first paragraph of its class


@dataclass(frozen=True)
class Refusal:
    """One check of a role or playbook: its code, what it says and the way out, Jinja in each of the two."""

    where: str
    code: str
    message: str
    hint: str


def codes_of_the_source(areas: set[str]) -> Found:
    found = Found()
    classes: dict[str, str] = {}
    trees = [ast.parse(path.read_text(encoding="utf-8")) for path in sources()]
    for tree in trees:
        for node in ast.walk(tree):
            if isinstance(node, ast.ClassDef) and (code := class_code(node)):
                classes[node.name] = code
                found.texts[code] = first_paragraph(node)
    for tree in trees:
        found.codes |= set(named_codes(tree, areas)) | set(composed_codes(tree))
        found.retryable |= set(retryable_codes(tree, classes))
    found.codes |= set(found.texts)
    return found


def sources() -> list[Path]:
    return sorted(path for folder in SOURCES for path in (ROOT / "plugins" / folder).rglob("*.py"))


def class_code(node: ast.ClassDef) -> str:
    """Return the CODE of an error class; "" for any other class."""
    for part in node.body:
        if isinstance(part, ast.Assign) and getattr(part.targets[0], "id", "") == "CODE":
            return constant(part.value)
    return ""


def first_paragraph(node: ast.ClassDef) -> str:
    return " ".join((ast.get_docstring(node) or "").partition("\n\n")[0].split())


def constant(node: ast.AST | None) -> str:
    return node.value if isinstance(node, ast.Constant) and isinstance(node.value, str) else ""


def named_codes(tree: ast.Module, areas: set[str]) -> Iterator[str]:
    """Codes that are written whole: every text of a code's shape in a known area, and every `code=` and `CODE =`."""
    for node in ast.walk(tree):
        text = constant(node)
        if CODE.fullmatch(text) and text.partition(".")[0] in areas and not text.endswith(FILES):
            yield text
        if isinstance(node, ast.keyword) and node.arg == "code" and CODE.fullmatch(constant(node.value)):
            yield constant(node.value)
        if isinstance(node, ast.Assign) and getattr(node.targets[0], "id", "") == "CODE" and constant(node.value):
            yield constant(node.value)


def composed_codes(tree: ast.Module) -> Iterator[str]:
    """Codes that a function composes as f"area.{code}": what its callers in the same file give it."""
    for function in (node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)):
        for keyword in (node for node in ast.walk(function) if isinstance(node, ast.keyword) and node.arg == "code"):
            if isinstance(keyword.value, ast.JoinedStr):
                area = constant(keyword.value.values[0])
                name = getattr(getattr(keyword.value.values[1], "value", None), "id", "")
                place = [argument.arg for argument in function.args.args].index(name)
                yield from (f"{area}{given}" for given in given_to(tree, function.name, place, name))


def given_to(tree: ast.Module, function: str, place: int, name: str) -> Iterator[str]:
    for call in (node for node in ast.walk(tree) if isinstance(node, ast.Call)):
        if getattr(call.func, "id", "") == function:
            named = next((keyword.value for keyword in call.keywords if keyword.arg == name), None)
            yield constant(named or call.args[place])


def retryable_codes(tree: ast.Module, classes: dict[str, str]) -> Iterator[str]:
    """Codes that some place calls retryable: `retryable=True` beside `code=` or of a class, and code: (hint, True)."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            given = {keyword.arg: keyword.value for keyword in node.keywords}
            code = constant(given.get("code")) or classes.get(getattr(node.func, "id", ""), "")
            if code and getattr(given.get("retryable"), "value", False) is True:
                yield code
        if isinstance(node, ast.Dict):
            yield from retryable_in(dict(zip(map(constant, node.keys), node.values, strict=True)))


def retryable_in(table: dict[str, ast.expr]) -> Iterator[str]:
    """Codes of a table of code: (hint, retryable), or of one failure written as {"code": …, "retryable": …}."""
    for key, value in table.items():
        if isinstance(value, ast.Tuple) and CODE.fullmatch(key) and getattr(value.elts[-1], "value", False) is True:
            yield key
    if getattr(table.get("retryable"), "value", False) is True and constant(table.get("code")):
        yield constant(table["code"])


def refusals_of_roles() -> list[Refusal]:
    """Return every check of a role or playbook that has a code, sorted (ADR-0020).

    A code is in the task that fails with it, beside msg and hint; or in a mapping of the same keys among a role's
    variables, which a task passes on.
    """
    files = sorted(
        path
        for pattern in ("roles/*/tasks/**/*.yml", "roles/*/vars/*.yml", "playbooks/*.yml")
        for path in ROOT.glob(pattern)
    )
    found = set()
    for path in files:
        folder, name = path.relative_to(ROOT).parts[:2]
        where = f"the role ``{name}``" if folder == "roles" else f"the playbook ``{name.removesuffix('.yml')}``"
        for given in with_a_code(yaml.safe_load(path.read_text(encoding="utf-8"))):
            code = STAGE.sub("<stage>", given["code"])
            if "{" not in code:
                found.add(Refusal(where, code, str(given["msg"]), str(given["hint"])))
    return sorted(found, key=lambda one: (one.code, one.where, one.message))


def with_a_code(node: object) -> Iterator[dict[str, str]]:
    """Every mapping in a YAML document that has a code and a message; one that takes its code from elsewhere too."""
    if isinstance(node, dict) and {"code", "msg", "hint"} <= set(node):
        yield node
    for part in node.values() if isinstance(node, dict) else node if isinstance(node, list) else []:
        yield from with_a_code(part)
