# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""docs/faults.md is true: each number is there once, each test that it names exists and carries the right number."""

from __future__ import annotations

import ast
import re
from functools import cache

from tests.support import repository

PAGE = "docs/faults.md"
ROW = re.compile(r"^\| ([TX]\d+) \|(.*)\|$", re.MULTILINE)
TEST = re.compile(r"`((?:tests|molecule)/[\w/.-]+\.py)::(\w+)`")
OPEN = re.compile(r"open \(issue \d+\)")
NUMBER = re.compile(r"(?<![\w.])[TX](\d{1,3})(?![\w.]*\w)")

# No such faults were ever numbered.
GAPS = {"X38", "X39", "X45", "X46", "X47", "X48", "X49", "X68", "X69", "X87", "X88", "X89", "X94"}


@cache
def rows():
    """Return fault -> the last column of its line."""
    return {number: line.rsplit("|", 1)[-1] for number, line in ROW.findall(repository.text(PAGE))}


@cache
def functions_of(name):
    return {node.name for node in ast.walk(ast.parse(repository.text(name))) if isinstance(node, ast.FunctionDef)}


def test_every_fault_has_exactly_one_line():
    wanted = {f"T{n}" for n in range(1, 41)} | ({f"X{n}" for n in range(1, 102)} - GAPS)

    listed = [number for number, _line in ROW.findall(repository.text(PAGE))]

    assert sorted(listed) == sorted(wanted)


def test_every_fault_is_held_by_a_test_or_openly_by_none():
    undecided = [n for n, held in rows().items() if bool(TEST.search(held)) == bool(OPEN.search(held))]

    assert undecided == []


def test_no_fault_of_other_programs_is_open():
    assert [number for number, held in rows().items() if number.startswith("T") and OPEN.search(held)] == []


def test_every_test_that_holds_a_fault_exists():
    named = [pair for held in rows().values() for pair in TEST.findall(held)]
    known = set(repository.files())

    assert named
    assert [f"{file}::{test}" for file, test in named if file not in known or test not in functions_of(file)] == []


def numbers(test):
    """Return the faults in a test's name: {"T26", "T28"} of test_t26_t28_what_it_holds."""
    match = re.match(r"test_((?:[tx]\d+_)+)", test)
    return set(match[1].upper().split("_")) - {""} if match else set()


def test_a_test_that_carries_a_number_carries_that_of_its_line():
    related = {"T37": {"T39"}}  # the same test holds both
    astray = [
        (number, test) for number, held in rows().items() for _file, test in TEST.findall(held)
        if numbers(test) and not numbers(test) & {number, *related.get(number, ())}
    ]  # fmt: skip

    assert astray == []


def test_every_number_in_the_name_of_a_test_is_in_the_list():
    searched = [name for name in repository.files() if re.search(r"/test_\w+\.py$", name)]

    unknown = [f"{name}::{test}" for name in searched for test in functions_of(name) if numbers(test) - set(rows())]

    assert unknown == []


def test_every_number_that_code_tests_and_decisions_name_is_in_the_list():
    def unknown(line):
        return [match[0] for match in NUMBER.finditer(line) if match[0] not in rows()]

    searched = [name for name in repository.files() if name.endswith((".py", ".md", ".rst", ".yml")) and name != PAGE]
    offenders = [
        f"{name}:{number}: {one}"
        for name in searched for number, line in repository.said(name) for one in unknown(line)
    ]  # fmt: skip

    assert offenders == []
