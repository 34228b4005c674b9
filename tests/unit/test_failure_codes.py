# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Every code that the collection can fail with is in the guide, and the guide lists no other (ADR-0021).

The first tests search the source in their own simple way; the others look at the program that writes the guide.
"""

from __future__ import annotations

import ast
import importlib
import re
import sys
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
SOURCES = ("module_utils", "plugin_utils", "action", "filter")
GUIDE = ROOT / "docs" / "docsite" / "rst" / "guide_failure_codes.rst"
CODE = re.compile(r"[a-z0-9_]+\.[a-z_]+")
LISTED = re.compile(r"^``([a-z0-9_.]+)``$", flags=re.MULTILINE)


def listed(of_roles=False):
    """Return the codes of the guide in its order: those of modules and plugins, or those of roles."""
    modules, _heading, roles = GUIDE.read_text(encoding="utf-8").partition("\nRoles\n-----\n")
    return LISTED.findall(roles if of_roles else modules)


def sources():
    return [path for folder in SOURCES for path in (ROOT / "plugins" / folder).rglob("*.py")]


def used():
    """Codes in the source: string constants shaped like one whose area the guide knows, and env_kek's short names."""
    areas = {code.partition(".")[0] for code in listed()}
    found = set()
    for path in sources():
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Constant) and _is_code(node.value, areas):
                found.add(node.value)
            if isinstance(node, ast.keyword) and node.arg == "code" and isinstance(node.value, ast.Constant):
                found.add(node.value.value)
    return found


def _is_code(value, areas):
    if not isinstance(value, str) or not CODE.fullmatch(value) or value.endswith((".zip", ".json", ".pem", ".csv")):
        return False
    return value.partition(".")[0] in areas


def used_by_roles():
    """Codes of roles and playbooks: whatever a YAML file there has after `code:`, without Jinja."""
    texts = [
        path.read_text(encoding="utf-8") for folder in ("roles", "playbooks") for path in (ROOT / folder).rglob("*.yml")
    ]
    return {code for text in texts for code in re.findall(r"^\s+code: ([a-z_]+\.[a-z_]+)$", text, flags=re.MULTILINE)}


def test_every_code_of_the_source_is_in_the_guide():
    assert sorted(used() - set(listed())) == []


def test_every_code_of_a_role_is_in_the_guide():
    assert used_by_roles()
    assert sorted(used_by_roles() - set(listed(of_roles=True)) - set(listed())) == []


def test_the_guide_lists_no_code_twice():
    assert len(listed()) == len(set(listed()))
    assert len(listed(of_roles=True)) == len(set(listed(of_roles=True)))


def test_the_guide_lists_no_code_that_the_source_does_not_know():
    text = "\n".join(p.read_text(encoding="utf-8") for p in sources())

    unknown = [code for code in listed() if code not in text and f'"{code.partition(".")[2]}"' not in text]

    assert unknown == []
    assert sorted(set(listed(of_roles=True)) - used_by_roles()) == []


@pytest.fixture(scope="module")
def writer():
    """The program of `make docs-codes`; its folder is no package."""
    sys.path.insert(0, str(ROOT / ".ci"))
    try:
        yield importlib.import_module("failure_codes")
    finally:
        sys.path.remove(str(ROOT / ".ci"))


@pytest.fixture
def table(writer):
    return yaml.safe_load(writer.TABLE.read_text(encoding="utf-8"))


def test_the_guide_is_what_make_docs_codes_writes(writer, table):
    assert writer.troubles(table) == []
    assert GUIDE.read_text(encoding="utf-8") == writer.guide(table), "run `make docs-codes`"


@pytest.mark.parametrize(
    ("change", "trouble"),
    [
        (lambda codes: codes.pop("settings.empty"), "settings.empty: no text in failure_codes.yml, and no class"),
        (lambda codes: codes.update({"file.odd": "x"}), "file.odd: in failure_codes.yml, but not in the source"),
        (lambda codes: codes.update({"file.missing": "x"}), "file.missing: in failure_codes.yml and in a class"),
    ],
)
def test_a_text_that_is_missing_left_over_or_doubled_is_named(writer, table, change, trouble):
    change(table["sections"][0]["codes"])

    assert writer.troubles(table) == [trouble]


@pytest.mark.parametrize(
    ("source", "codes", "retryable"),
    [
        ('raise OpsError("x", code="file.odd", hint="y")', {"file.odd"}, set()),
        ('raise OpsError("x", code="new_area.odd", hint="y", retryable=True)', {"new_area.odd"}, {"new_area.odd"}),
        (
            'def no(code):\n    raise OpsError(code=f"file.{code}")\nno("odd"); no(code="bad")',
            {"file.odd", "file.bad"},
            set(),
        ),
        ('WAYS = {"file.odd": ("hint", True), "file.bad": ("hint", False)}', {"file.odd", "file.bad"}, {"file.odd"}),
        ('failure = {"code": "file.odd", "retryable": True}', {"file.odd"}, {"file.odd"}),
        ('name = "file.json"', set(), set()),
    ],
)
def test_a_code_is_found_however_it_is_written(writer, source, codes, retryable):
    reader, tree = importlib.import_module("codes_in_source"), ast.parse(source)

    assert {*reader.named_codes(tree, {"file"}), *reader.composed_codes(tree)} == codes
    assert set(reader.retryable_codes(tree, {})) == retryable


HELD = '''
class Held(OpsError):
    """It is
    held.

    Catch it.
    """

    CODE = "file.held"

raise Held("x", hint="y", retryable=True)
'''


def test_a_class_gives_its_code_its_first_paragraph_and_what_is_raised_of_it(writer):
    reader, tree = importlib.import_module("codes_in_source"), ast.parse(HELD)

    assert (reader.class_code(tree.body[0]), reader.first_paragraph(tree.body[0])) == ("file.held", "It is held.")
    assert list(reader.retryable_codes(tree, {"Held": "file.held"})) == ["file.held"]


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("version {{ a.b | int }} is  {% if x %}not {% endif %}active", "version … is not active"),
        ("set `rotate_to_version`", "set ``rotate_to_version``"),
        ("a_ * b|c", "a\\_ \\* b\\|c"),
    ],
)
def test_a_text_of_a_role_is_shown_without_jinja_and_without_markup_of_its_own(writer, text, shown):
    assert writer.marked(writer.plain(text)) == shown
