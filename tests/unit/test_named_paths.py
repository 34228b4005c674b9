# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whatever a comment, a docstring or a page names exists: files, folders, modules of ours, links and decisions.

A name that does not resolve is a name of the past: the reader who looks for it loses the trust in all the others.
"""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path

import pytest

from tests.support import repository
from tests.support.repository import ROOT

UTILS = "plugins/module_utils"
# Where a name may begin: at the root, or at a place that its text is about.
STARTS = (".", "plugins", UTILS, f"{UTILS}/_keys/pkcs11", "roles/migrate/tasks", "docs/docsite/rst")
TOP = "|".join(sorted({
    re.escape(Path(name).name) for name in repository.folders()
    if name.count("/") == 0 or re.fullmatch(rf"{UTILS}/_\w+", name)
}))  # fmt: skip

PATH = re.compile(rf"(?<![\w./<{{*-])((?:{TOP})/[\w./*{{}},-]*)")
FILE = re.compile(r"(?<![\w./*{}-])([\w-]+\.(?:py|md|rst|c|h|toml|j2|cfg|in))(?![\w/]|\.\w)")
MODULE = re.compile(rf"(?<![\w./-])({'|'.join(p.name for p in (ROOT / UTILS).glob('_[a-z]*'))})\.([\w.]*\w)")
DECISION = re.compile(r"ADR-(\d{4})")
# Of a walk through the code: file, name, what it does.
STEP = re.compile(r"^\s+(_\w+/[\w/]+\.py)\s+(\w+(?=\(\))|[A-Z]+(?=\s))")
LINK = re.compile(r"\]\(([^)\s]+)\)")

# What runs make and git does not keep, the word for any name, and one word that looks like a file and is none.
MADE_BY_RUNS = ("build/",)
ANY = re.compile(r"\bNAME\b")
NOT_OURS = {"manifest.in"}


@cache
def said():
    return [(name, number, line) for name in repository.files() for number, line in repository.said(name)]


@cache
def known():
    return frozenset({*repository.files(), *repository.folders()})


@cache
def basenames():
    return frozenset(Path(name).name for name in repository.files())


def braces(name):
    """Return the names that a shell would make of {a,b}."""
    match = re.search(r"\{([^{}]*)\}", name)
    if not match:
        return [name]
    return [one for word in match[1].split(",") for one in braces(name[: match.start()] + word + name[match.end() :])]


def exists(name, beside="."):
    """A file or folder of that name, from the root, from a usual start, or beside the file that names it."""
    for start in (*STARTS, beside):
        place = str(Path(start, name))
        if place in known() or ("*" in name and any(Path(one).match(place) for one in known())):
            return True
    return False


def unresolved_paths(line, beside):
    for found in PATH.findall(line):
        for name in braces(found.rstrip(".,-")):
            if not name.startswith(MADE_BY_RUNS) and not ANY.search(name) and not exists(name.rstrip("/"), beside):
                yield name


def unresolved_files(line):
    return [name for name in FILE.findall(line) if name not in basenames() and name.lower() not in NOT_OURS]


def unresolved_modules(line):
    for package, rest in MODULE.findall(line):
        place, names = ROOT / UTILS / package, rest.split(".")
        while names and (place / names[0]).is_dir():
            place /= names.pop(0)
        if names and not (place / f"{names[0]}.py").is_file():
            yield f"{package}.{rest}"


def offenders(look):
    return [f"{name}:{number}: {one}" for name, number, line in said() for one in look(name, line)]


def test_every_file_and_folder_that_is_named_by_its_path_exists():
    assert offenders(lambda name, line: unresolved_paths(line, str(Path(name).parent))) == []


def test_every_file_that_is_named_without_its_folder_exists_somewhere():
    assert offenders(lambda name, line: unresolved_files(line)) == []


def test_every_module_that_is_named_with_dots_exists():
    assert offenders(lambda name, line: unresolved_modules(line)) == []


def test_every_function_of_a_walk_is_in_its_file():
    """ADR-0002 and ADR-0003 follow an envelope and an option from file to file."""
    steps = [
        (name, number, *match.groups())
        for name, number, line in said() if name.startswith("docs/decisions/") and (match := STEP.match(line))
    ]  # fmt: skip

    def missing(file, name):
        return not re.search(
            rf"^\s*(?:def|class) {name}\b|^{name}(?::| =)", repository.text(f"{UTILS}/{file}"), re.MULTILINE
        )

    assert len(steps) > 20
    assert [f"{page}:{number}: {file} {name}" for page, number, file, name in steps if missing(file, name)] == []


def test_every_decision_that_is_cited_is_recorded():
    recorded = {Path(name).name[:4] for name in repository.files() if name.startswith("docs/decisions/0")}

    assert offenders(lambda name, line: [one for one in DECISION.findall(line) if one not in recorded]) == []


def test_every_link_of_a_page_leads_to_a_file_of_the_repository():
    def dead(name, line):
        for target in LINK.findall(line):
            if "://" not in target and not target.startswith("#"):
                place = (ROOT / name).parent / target.partition("#")[0]
                if not place.exists():
                    yield target

    pages = [entry for entry in said() if entry[0].endswith(".md")]

    assert [f"{name}:{number}: {one}" for name, number, line in pages for one in dead(name, line)] == []


@pytest.mark.parametrize(
    ("line", "found"),
    [
        ("see _domain/layout.py", ["_domain/layout.py"]),
        ("see `docs/design.md`.", ["docs/design.md"]),
        ("below roles/nothing/tasks", ["roles/nothing/tasks"]),
        ("_keys/{env,vault}.py", ["_keys/vault.py"]),
        ("roles/*/meta/nothing.yml", ["roles/*/meta/nothing.yml"]),
        ("see _domain/envelope_layout.py, roles/*/meta and tests/unit", []),
        ("plugins/module_utils/_keys/pkcs11/{pool,process}.py", []),
    ],
)
def test_the_search_finds_a_path_that_is_not_there(line, found):
    assert list(unresolved_paths(line, ".")) == found


def test_the_search_finds_files_and_modules_that_are_not_there():
    assert unresolved_files("as texts.py and design.md say, and bench.py") == ["texts.py", "design.md"]
    assert list(unresolved_modules("_operations.x, _rotation.plan.Plan, _store.keeper")) == ["_store.keeper"]
