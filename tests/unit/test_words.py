# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What operators read is plain English, with one word for one thing: pages, modules' documentation, roles, messages."""

from __future__ import annotations

import ast
import re

import pytest

from tests.support import repository

# word that we do not use -> the one that we do
INSTEAD = {
    r"\bshall\b": "must, should or is to",
    r"\bjudg(?:e[ds]?|ing|ements?)\b": "validate (options), check (a bundle), plan (a rotation), decide (a budget)",
    r"\bverdict\b": "answer, result",
    r"\b(?:stands?(?! for\b)(?!-)|standing|stood)\b": "is, exists, holds, has",
    r"\bwho beat\b|\bbeat within\b": "a live process: its last heartbeat is at most 120 seconds old",
    r"\bmend(?:s|ed|ing)?\b": "fix, correct, repair",
    r", for (?:it|they|that is|that would|some|nobody)\b": "because",
    r"out of the way, go on": "Fix the cause, then resume with:",
    r"PRIVATE to the collection": "nothing: the leading underscore says it",
}
PAGES = ("README.md", "CONTRIBUTING.md", "SECURITY.md", "docs/", "roles/", "playbooks/", "changelogs/fragments/")
IN_CODE = re.compile(r"``?[^`]*``?")  # names of tests and options are not words


def pages():
    """Return what is read as it is: pages, documentation of modules, roles and playbooks."""
    written = (".md", ".rst", ".yml")
    shown = [name for name in repository.files() if name.startswith(PAGES) and name.endswith(written)]
    folders = ("plugins/modules/", "plugins/doc_fragments/", "plugins/filter/")
    documented = [name for name in repository.files() if name.startswith(folders)]
    return [name for name in shown if not name.startswith("docs/decisions/0")] + documented


def messages(name):
    """Return (line, text) of each sentence in a program: texts of three words and more that are no docstrings."""
    tree = ast.parse(repository.text(name))
    described = {
        id(node.body[0].value)
        for node in ast.walk(tree)
        if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef))
        if node.body and isinstance(node.body[0], ast.Expr)
    }
    return [
        (node.lineno, node.value)
        for node in ast.walk(tree)
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in described
        and node.value.count(" ") > 1
    ]  # fmt: skip


def sentences():
    for name in pages():
        for number, line in enumerate(repository.text(name).splitlines(), 1):
            yield f"{name}:{number}", IN_CODE.sub("", line)
    for name in repository.files():
        if name.startswith(("plugins/module_utils/", "plugins/action/", "plugins/filter/", "plugins/plugin_utils/")):
            for number, sentence in messages(name) if name.endswith(".py") else ():
                yield f"{name}:{number}", sentence


@pytest.mark.parametrize("word", INSTEAD)
def test_operators_read_plain_english(word):
    found = [f"{place}: {match[0]}" for place, sentence in sentences() for match in re.finditer(word, sentence)]

    assert found == [], f"say instead: {INSTEAD[word]}"
