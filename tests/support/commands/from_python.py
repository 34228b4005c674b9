# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Commands that Python code starts, as far as reading it tells: the first word of what `subprocess` and others get.

A name is followed to what is assigned to it, a parameter to the calls of its function, a call to what the function
returns, in the same file and through imports. Where that ends in nothing that could be read, the command is UNKNOWN,
unless a comment on the line where it ends, or on the last one of the call, says it:

    return answer[1]  # runs: python3
    subprocess.run(command, check=True)  # runs: (what the Makefile gives, found there)
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable, Iterator, Mapping
from itertools import chain

from . import from_shell

UNKNOWN = "?"
NOTHING = "()"  # an empty list, to be put before something else
PYTHON = "python3"  # sys.executable

_STARTERS = {
    *(f"subprocess.{name}" for name in ("run", "Popen", "call", "check_call", "check_output")),
    *(f"os.{name}" for name in ("execv", "execve", "execvp", "execvpe", "execl", "execle", "execlp", "execlpe")),
    *(f"os.{name}" for name in ("posix_spawn", "posix_spawnp")),
    *("asyncio.create_subprocess_exec", "pty.spawn", "pexpect.spawn", "shutil.which"),
}
_SHELL_STARTERS = {
    *("os.system", "os.popen", "subprocess.getoutput", "subprocess.getstatusoutput", "asyncio.create_subprocess_shell"),
}
_TESTINFRA_SHELL = {"run", "run_test", "run_expect", "check_output"}
_MARK = re.compile(r"#\s*runs:\s*([^(#\n]*)")
_TRANSPARENT = {"str", "list", "tuple", "fspath"}  # their value is their first argument's

Function = ast.FunctionDef | ast.AsyncFunctionDef


class _File:
    """One file: its tree, and for each node the functions around it, innermost first."""

    def __init__(self, name: str, text: str) -> None:
        self.name, self.lines = name, text.splitlines()
        self.tree = ast.parse(text)
        self.around: dict[ast.AST, tuple[Function, ...]] = {}
        self.assigned: dict[tuple[ast.AST | None, str], list[ast.expr]] = {}  # (scope, name); no scope for properties
        self._note(self.tree, ())
        imports = [node for node in ast.walk(self.tree) if isinstance(node, ast.Import | ast.ImportFrom)]
        self.imported = {part for node in imports for alias in node.names for part in alias.name.split(".")}
        self.imported |= {part for node in imports for part in (getattr(node, "module", None) or "").split(".")}

    def _note(self, node: ast.AST, functions: tuple[Function, ...]) -> None:
        self.around[node] = functions
        for name, value in _assignments(node):
            scope = None if "." in name else (*functions, self.tree)[0]
            self.assigned.setdefault((scope, name), []).append(value)
        inside = (node, *functions) if isinstance(node, Function) else functions
        for child in ast.iter_child_nodes(node):
            self._note(child, inside)

    def knows(self, other: _File) -> bool:
        """Whether a call in this file can be one of a function in the other."""
        return self is other or other.name.removesuffix(".py").rpartition("/")[2] in self.imported

    def said_at(self, node: ast.expr) -> list[str]:
        """Return what a comment on the line where an expression ends says, [UNKNOWN] where there is none."""
        said = _MARK.search(self.lines[(node.end_lineno or node.lineno) - 1])
        return [name.strip() for name in said[1].split(",") if name.strip()] if said else [UNKNOWN]


def calls(texts: Mapping[str, str]) -> Iterator[tuple[str, int, str]]:
    """Yield (file, line, command) for each start of a process in the files; texts: name -> content."""
    files = [_File(name, text) for name, text in texts.items()]
    reader = _Reader(files)
    for file in files:
        for node in ast.walk(file.tree):
            if not isinstance(node, ast.Call):
                continue
            yield from ((file.name, node.lineno, name) for name in sorted(set(reader.started(node, file))))


def _is_start(call: ast.Call, file: _File) -> bool:
    name = ast.unparse(call.func)
    return name in _STARTERS | _SHELL_STARTERS or _testinfra(name, file)


def _testinfra(name: str, file: _File) -> bool:
    """Whether a call is one of testinfra's; `host` is its fixture, and molecule/ the only place where it is used."""
    return file.name.startswith("molecule/") and re.fullmatch(r"host\.\w+", name) is not None


class _Reader:
    """Follows expressions through all files."""

    def __init__(self, files: Iterable[_File]) -> None:
        self._returns: dict[str, list[tuple[ast.Return, _File]]] = {}
        self._calls: dict[str, list[tuple[ast.Call, _File]]] = {}
        for file in files:
            for node in ast.walk(file.tree):
                if isinstance(node, ast.Return) and node.value and file.around[node]:
                    self._returns.setdefault(file.around[node][0].name, []).append((node, file))
                elif isinstance(node, ast.Call):
                    self._calls.setdefault(ast.unparse(node.func).rpartition(".")[2], []).append((node, file))

    def started(self, call: ast.Call, file: _File) -> list[str]:
        """Return the commands that one call starts, [] if it starts none."""
        name = ast.unparse(call.func)
        first = _argument(call, 0, "args")
        if _testinfra(name, file):
            return _in_text(first) if name.removeprefix("host.") in _TESTINFRA_SHELL else [name]
        shell = any(word.arg == "shell" and ast.unparse(word.value) != "False" for word in call.keywords)
        if name in _SHELL_STARTERS or (name in _STARTERS and shell):
            return _in_text(first)
        if name not in _STARTERS:
            return []
        words = [word.rpartition("/")[2] or UNKNOWN for word in self._heads(first, file, frozenset())]
        return [word for word in words if word != UNKNOWN] + (file.said_at(call) if UNKNOWN in words else [])

    def _heads(self, node: ast.expr | None, file: _File, seen: frozenset[ast.AST]) -> list[str]:
        """Return what an argument list begins with, or what the name of a command is: all that it may be."""
        if node is None or node in seen:
            return [UNKNOWN] if node is None else []
        seen |= {node}
        match node:
            case ast.Constant(value=str() as text):
                return [text]
            case ast.Constant(value=None):
                return []  # `which` that found nothing is not started
            case ast.Attribute() if ast.unparse(node) == "sys.executable":
                return [PYTHON]
            case ast.List(elts=elements) | ast.Tuple(elts=elements):
                return self._of_list(elements, file, seen)
            case ast.Call():
                return self._of_call(node, file, seen)
            case ast.Name() | ast.Attribute():
                return self._of_name(node, file, seen)
        parts = _parts(node)
        return [name for part in parts for name in self._heads(part, file, seen)] if parts else file.said_at(node)

    def _of_list(self, elements: list[ast.expr], file: _File, seen: frozenset[ast.AST]) -> list[str]:
        if not elements:
            return [NOTHING]
        found = self._heads(elements[0], file, seen)
        if NOTHING in found:  # [*prefix, "tool"] with a prefix that may be empty
            found = [name for name in found if name != NOTHING] + self._of_list(elements[1:], file, seen)
        return found

    def _of_call(self, node: ast.Call, file: _File, seen: frozenset[ast.AST]) -> list[str]:
        name = ast.unparse(node.func).rpartition(".")[2]
        if name in _TRANSPARENT or ast.unparse(node.func) == "shutil.which":
            return self._heads(_argument(node, 0, "cmd"), file, seen)
        if name == "map" and len(node.args) == 2:
            return self._heads(node.args[1], file, seen)
        known = [(given.value, where) for given, where in self._returns.get(name, []) if file.knows(where)]
        return [word for value, where in known for word in self._heads(value, where, seen)] or file.said_at(node)

    def _of_name(self, node: ast.Name | ast.Attribute, file: _File, seen: frozenset[ast.AST]) -> list[str]:
        name = ast.unparse(node)
        scopes: list[ast.AST | None] = [*file.around[node], file.tree] if isinstance(node, ast.Name) else [None]
        for scope in scopes:
            assigned = file.assigned.get((scope, name))
            if assigned:
                return [word for value in assigned for word in self._heads(value, file, seen)]
            if isinstance(scope, Function) and name in (parameters := _parameters(scope)):
                at = parameters.index(name) - (parameters[0] in ("self", "cls"))
                return self._of_parameter(scope.name, at, name, file, seen) or file.said_at(node)
        return file.said_at(node)

    def _of_parameter(self, function: str, at: int, name: str, home: _File, seen: frozenset[ast.AST]) -> list[str]:
        given = [
            (_argument(call, at, name), where)
            for call, where in self._calls.get(function, [])
            if where.knows(home) and not _is_start(call, where)
        ]
        return [word for value, where in given if value is not None for word in self._heads(value, where, seen)]


def _parameters(function: Function) -> list[str]:
    return [one.arg for one in (*function.args.posonlyargs, *function.args.args)]


def _parts(node: ast.expr) -> list[ast.expr]:
    """Return the expressions that an expression begins as, one or several; [] if that cannot be read."""
    match node:
        case ast.Starred(value=first) | ast.BinOp(op=ast.Add(), left=first) | ast.BinOp(op=ast.Div(), right=first):
            return [first]  # [*first, …], first + …, folder / first
        case ast.IfExp(body=one, orelse=other):
            return [one, other]
        case ast.BoolOp(values=values):
            return values
    return []


def _argument(call: ast.Call, at: int, name: str) -> ast.expr | None:
    named = [word.value for word in call.keywords if word.arg == name]
    return call.args[at] if at < len(call.args) else named[0] if named else None


def _assignments(node: ast.AST) -> Iterator[tuple[str, ast.expr]]:
    """Yield (name, value) of what a statement or `:=` assigns; names with dots are properties."""
    if isinstance(node, ast.Assign):
        yield from chain.from_iterable(_pairs(target, node.value) for target in node.targets)
    elif isinstance(node, ast.AnnAssign | ast.NamedExpr) and node.value:
        yield from _pairs(node.target, node.value)
    elif isinstance(node, ast.For) and isinstance(node.iter, ast.Tuple | ast.List):
        yield from chain.from_iterable(_pairs(node.target, value) for value in node.iter.elts)


def _pairs(target: ast.expr, value: ast.expr) -> Iterator[tuple[str, ast.expr]]:
    """Yield (name, value) of an assignment; `a, b = x, y` are two, and `a, b = f()` may both be what f returns."""
    if isinstance(target, ast.Tuple) and isinstance(value, ast.Tuple):
        yield from ((ast.unparse(one), given) for one, given in zip(target.elts, value.elts, strict=False))
    elif isinstance(target, ast.Tuple) and isinstance(value, ast.Call):
        yield from ((ast.unparse(one), value) for one in target.elts)
    else:
        yield ast.unparse(target), value


def _in_text(node: ast.expr | None) -> list[str]:
    """Return the commands of a line for the shell; what an f-string puts in is one word."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return from_shell.commands(node.value)
    if isinstance(node, ast.JoinedStr):
        parts = [part.value if isinstance(part, ast.Constant) else "{}" for part in node.values]
        return from_shell.commands("".join(map(str, parts)))
    return [UNKNOWN]
