# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Commands in shell scripts and in the recipes of a Makefile: the first word of each simple command.

Read with a tokenizer of a dozen lines, not with a shell's grammar: `case` patterns would be taken for commands and be
reported as undeclared, which is the harmless side.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator

_TOKEN = re.compile(
    r"""(?P<blank> \\\n | [ \t]+ | \#[^\n]* )
      | (?P<redirect> \d*(?:<<<|<<|>>|[<>])&? )
      | (?P<end> [\n;&|()]+ )
      | (?P<word> (?: '[^']*' | "(?:\\.|[^"\\])*" | \\. | [^\s;&|()<>'"\\] )+ )""",
    re.VERBOSE | re.DOTALL,
)
_SUBSTITUTED = re.compile(r"\$\(([^()]*)\)|`([^`]*)`")  # in double quotes; outside of them `(` starts a command anyway
_ASSIGNMENT = re.compile(r"\w+\+?=")
_FUNCTION = re.compile(r"^\s*(\w+)\s*\(\)", re.MULTILINE)

_KEYWORDS = {"!", "{", "}", "if", "then", "elif", "else", "fi", "while", "until", "do", "done", "esac", "[["}
_SPEAKS = {"for", "case", "select", "function"}  # what follows, up to the next end, are words and no commands
_WRAPPERS = {"exec", "env", "sudo", "nice", "nohup", "time", "timeout", "setsid", "xargs"}
_SHELLS = {"sh", "bash", "dash"}

_VARIABLE = re.compile(r"^(\w+)\s*(?:\?|:|::)?=\s*(.*)$", re.MULTILINE)
_REFERENCE = re.compile(r"\$\((\w+)\)")
_MAKE_SHELL = re.compile(r"\$\(shell ((?:[^()]|\([^()]*\))*)\)")
_MAKE_FUNCTION = re.compile(r"(?<!\$)\$\([^()]*\)")  # the innermost ones; a shell's own is written $$(…)


def commands(script: str) -> list[str]:
    """Return the names of the commands in a script, without their folders, in order; its own functions are left out."""
    own = set(_FUNCTION.findall(script))
    return [name for name in _names(script) if name not in own]


def _names(script: str) -> Iterator[str]:
    words: list[str] = []
    skip = False
    for token in [*_TOKEN.finditer(script), None]:
        kind = "end" if token is None else token.lastgroup
        if kind == "end":
            yield from _of_one(words)
            words = []
        elif kind == "redirect":
            skip = True  # the file's name comes next
        elif kind == "word":
            words += [] if skip else [token[0]]
            skip = False


def _of_one(words: list[str]) -> Iterator[str]:
    """Yield the command of one simple command, those that it is only a wrapper of, and those inside its quotes."""
    for word in words:
        if word.startswith("'"):
            continue
        for inner in _SUBSTITUTED.findall(word):
            yield from _names("".join(inner))
    rest = list(words)
    while rest and (rest[0] in _KEYWORDS or _ASSIGNMENT.match(rest[0])):
        rest.pop(0)
    if not rest or rest[0] in _SPEAKS:
        return
    name = _plain(rest[0]).rpartition("/")[2]
    yield name
    if name in _SHELLS and "-c" in rest:
        yield from _names(_plain(rest[rest.index("-c") + 1]))
    elif name in _WRAPPERS:
        yield from _of_one(_after_options(rest[1:]))
    for at, word in enumerate(rest):
        if word.endswith("in_copy.py"):
            yield from _of_one(rest[at + 2 :])  # in_copy.py NAME COMMAND …


def _after_options(words: list[str]) -> list[str]:
    while words and (words[0].startswith("-") or words[0][0].isdigit() or _ASSIGNMENT.match(words[0])):
        words = words[1:]
    return words


def _plain(word: str) -> str:
    try:
        return "".join(shlex.split(word))
    except ValueError:
        return word


def recipes(makefile: str) -> list[tuple[int, str]]:
    """Return (number of the line, command) for each command in recipes and in `$(shell …)`; variables are put in."""
    variables = dict(_VARIABLE.findall(makefile))
    found = [
        (makefile[: shell.start()].count("\n") + 1, name)
        for shell in _MAKE_SHELL.finditer(makefile)
        for name in commands(_expanded(shell[1], variables))
    ]
    for recipe in re.finditer(r"^\t(?:[^\n\\]|\\.|\\\n)*", makefile, re.MULTILINE):
        line = makefile[: recipe.start()].count("\n") + 1
        found += [(line, name) for name in commands(_expanded(recipe[0].lstrip("\t@-+ "), variables))]
    return found


def _expanded(text: str, variables: dict[str, str]) -> str:
    for _round in range(5):
        text = _REFERENCE.sub(lambda found: variables.get(found[1], found[1]), text)
    text = _MAKE_SHELL.sub("", text)
    while text != (text := _MAKE_FUNCTION.sub("", text)):
        pass
    return text.replace("$$", "$")
