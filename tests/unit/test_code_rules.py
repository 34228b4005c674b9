# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Rules for the shape of the code below plugins/: sizes, how often types are left open, where its unit tests are.

Who may import what is import-linter's (`make floors`). A failure names all offenders.
"""

from __future__ import annotations

import ast
import io
import re
import tokenize
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PLUGINS = ROOT / "plugins"
UTILS = PLUGINS / "module_utils"
UNIT = ROOT / "tests" / "unit"
INTEGRATION = ROOT / "tests" / "integration"

LINES_OF_A_FILE, LINES_OF_A_FUNCTION = 300, 40
ANY_AT_MOST = 30  # it only goes down
PACKAGES = sorted(
    path.name for path in UTILS.iterdir() if path.name.startswith("_") and (path / "__init__.py").exists()
)

# Folders of tests that are named for no package of module_utils -> what they test.
OTHER_FOLDERS = {
    "action": "plugins/action",
    "filter": "plugins/filter",
    "hosts": "tests/support/hosts",  # what needs systemd
    "models": "docs/models",
    "modules": "plugins/modules",
    "plugin_utils": "plugins/plugin_utils",
    "processes": "tests/integration",  # no tests: scripts that tests run in processes of their own
    "service": "tests/support/service",
    "support_parts": "tests/support",
}


def sources(folder=PLUGINS):
    return sorted(path for path in folder.rglob("*.py") if "__pycache__" not in path.parts)


def shown(path):
    return str(path.relative_to(ROOT))


def lines_of(path):
    return path.read_text(encoding="utf-8").count("\n")


def long_functions(source):
    """Return `name: lines` of each function of a source text that does not fit."""
    kinds = (ast.FunctionDef, ast.AsyncFunctionDef)
    functions = [node for node in ast.walk(ast.parse(source)) if isinstance(node, kinds)]
    lengths = [(node.name, node.end_lineno - node.lineno + 1) for node in functions]
    return [f"{name}: {lines}" for name, lines in lengths if lines > LINES_OF_A_FUNCTION]


def names_in(path):
    """Return every name of a file's code, one for each place; comments and docstrings hold none."""
    readline = io.StringIO(path.read_text(encoding="utf-8")).readline
    return [token.string for token in tokenize.generate_tokens(readline) if token.type == tokenize.NAME]


def imported_packages(path):
    """Return the packages of module_utils that a test imports from."""
    named = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and ".module_utils" in (node.module or ""):
            below = (node.module or "").partition(".module_utils")[2].strip(".")
            named |= {below.split(".")[0]} if below else {alias.name for alias in node.names}
    return named


def test_files_keep_one_subject():
    offenders = [f"{shown(path)}: {lines_of(path)}" for path in sources() if lines_of(path) > LINES_OF_A_FILE]

    assert offenders == []


def test_functions_fit_on_a_screen():
    texts = {shown(path): path.read_text(encoding="utf-8") for path in sources()}

    assert [f"{name}: {function}" for name, text in texts.items() for function in long_functions(text)] == []


@pytest.mark.parametrize(("body", "found"), [(39, []), (40, ["grows: 41"])])
def test_a_function_is_measured_from_its_def_to_its_last_line(body, found):
    assert long_functions("@decorated\ndef grows():\n" + "    pass\n" * body) == found


def test_types_are_left_open_ever_more_rarely():
    counts = {shown(path): names_in(path).count("Any") for path in sources(UTILS)}

    assert sum(counts.values()) <= ANY_AT_MOST, dict(sorted(counts.items(), key=lambda entry: -entry[1])[:15])


def test_no_package_holds_more_than_a_fifth_of_the_code():
    everything = sum(lines_of(path) for folder in (PLUGINS, ROOT / ".ci") for path in sources(folder))
    shares = {package: sum(lines_of(path) for path in sources(UTILS / package)) / everything for package in PACKAGES}

    assert {package: round(share, 3) for package, share in shares.items() if share > 1 / 5} == {}


def test_the_story_of_a_rotation_names_each_of_its_files():
    told = ast.get_docstring(ast.parse((UTILS / "_rotation/__init__.py").read_text(encoding="utf-8")))
    files = {path.stem for path in sources(UTILS / "_rotation")} - {"__init__"}

    assert sorted(name for name in files if not re.search(rf"\b{name}\b", told)) == []


@pytest.mark.parametrize("tests", [UNIT, INTEGRATION], ids=["unit", "integration"])
def test_no_folder_of_tests_is_without_the_package_that_it_is_named_for(tests):
    known = {package.removeprefix("_") for package in PACKAGES} | {
        name for name, place in OTHER_FOLDERS.items() if (ROOT / place).is_dir()
    }

    assert [path.name for path in sorted(tests.iterdir()) if any(path.glob("*.py")) and path.name not in known] == []


def test_a_unit_test_is_in_the_folder_of_the_package_that_it_tests():
    homes = {}
    for path in sources(UTILS):
        homes.setdefault(path.stem, set()).add(path.relative_to(UTILS).parts[0])

    offenders = []
    for package in PACKAGES:
        for path in sorted((UNIT / package.removeprefix("_")).glob("test_*.py")):
            if package not in imported_packages(path):
                offenders.append(f"{shown(path)} imports nothing of {package}")
            if package not in (named := homes.get(path.stem.removeprefix("test_"), {package})):
                offenders.append(f"{shown(path)} is named for a file of {', '.join(sorted(named))}")

    assert offenders == []
