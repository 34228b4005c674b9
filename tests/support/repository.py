# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The files of this repository, what each says to people (comments, docstrings, pages), and the scripts below .ci."""

from __future__ import annotations

import ast
import importlib
import io
import re
import subprocess
import sys
import tokenize
from functools import cache
from pathlib import Path
from types import ModuleType

ROOT = Path(__file__).resolve().parents[2]
PAGES = (".md", ".rst")
WITH_HASH_COMMENTS = (".yml", ".yaml", ".toml", ".cfg", ".in", ".j2", ".sh", "Makefile", ".ci/run", ".ansible-lint")


@cache
def files() -> tuple[str, ...]:
    """Return what git would commit, as paths from the root; links are left out because they repeat other files."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT, check=True, capture_output=True, text=True,
    )  # fmt: skip
    names = sorted(set(listed.stdout.split("\0")) - {""})
    return tuple(name for name in names if (ROOT / name).is_file() and not (ROOT / name).is_symlink())


@cache
def text(name: str) -> str:
    """Return the text of a file, read once in a test run."""
    return (ROOT / name).read_text(encoding="utf-8")


@cache
def folders() -> tuple[str, ...]:
    """Return every folder that holds a file, and the folders above it, as paths from the root."""
    return tuple(sorted({str(above) for name in files() for above in Path(name).parents} - {"."}))


@cache
def said(name: str) -> list[tuple[int, str]]:
    """Return (line number, text) of what the file says to people; nothing for files of data."""
    if name.endswith(".py"):
        return sorted(_comments(text(name)) + _docstrings(text(name)))
    if name.endswith(PAGES):
        return list(enumerate(text(name).splitlines(), 1))
    if name.endswith(WITH_HASH_COMMENTS):
        found = ((number, re.search(r"(?:^|\s)#(.*)", line)) for number, line in enumerate(text(name).splitlines(), 1))
        return [(number, match[1]) for number, match in found if match]
    if name.endswith((".c", ".h")):
        return [
            (text(name).count("\n", 0, match.start()) + 1, match[0])
            for match in re.finditer(r"/\*.*?\*/|//[^\n]*", text(name), flags=re.DOTALL)
        ]
    return []


def script(name: str) -> ModuleType:
    """Return `.ci/NAME.py` as a module, its siblings in reach as when it is run."""
    folder = str(ROOT / ".ci")
    sys.path.insert(0, folder)
    try:
        return importlib.import_module(name)
    finally:
        sys.path.remove(folder)


def _comments(source: str) -> list[tuple[int, str]]:
    tokens = tokenize.generate_tokens(io.StringIO(source).readline)
    return [(token.start[0], token.string) for token in tokens if token.type == tokenize.COMMENT]


def _docstrings(source: str) -> list[tuple[int, str]]:
    found = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)):
            first = node.body[0] if node.body else None
            if isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant):
                lines = str(first.value.value).splitlines()
                found += [(first.lineno + offset, line) for offset, line in enumerate(lines)]
    return found
