# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""secrets.env: read as systemd reads it, written so that systemd reads it back, compared by what it says.

Pure. What the service would see is what the verbs must see: a KEK read differently is a wrong key. A line that systemd
would drop in silence is refused. States of the reader: key, before value, value, single quotes, double quotes, comment;
a backslash is a move of its own. Source: systemd.exec(5), EnvironmentFile=, and the behaviour of its parser.

    >>> parse_assignments(format_assignments({"PIN": 'a "b"'}), origin="secrets.env")
    {'PIN': 'a "b"'}
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from .errors import OpsError

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_ESCAPABLE_IN_DOUBLE_QUOTES = '"\\`$'
_BLANKS = " \t\r"  # systemd's WHITESPACE without the end of a line; other blanks of Unicode are letters to it
_PLAIN = re.compile(r"[A-Za-z0-9_./:@%+=,?&~-]+")


def parse_assignments(text: str, *, origin: str) -> dict[str, str]:
    """Return NAME -> value. origin: for messages.

    Raises OpsError file.grammar for a line that is no assignment (`export NAME=…` included), a name given twice, an
    open quote, a NUL. The text itself never enters a message.
    """
    if "\0" in text:
        raise grammar(origin, "it holds a NUL")
    reader = _Reader(text, origin)
    while reader.more():
        reader.statement()
    return reader.found


def format_assignments(values: Mapping[str, str]) -> str:
    """Return one `NAME=value` line for each value, in the order given; what is not plain is put in double quotes.

    INVARIANT: `parse_assignments` and systemd read back exactly these values. Raises OpsError file.grammar for a name
    that is none and for a value with a NUL, which no environment can hold.
    """
    for name, value in values.items():
        if not _NAME.fullmatch(name):
            raise _unwritable(f"{name!r} is no name of a variable")
        if "\0" in value:
            raise _unwritable(f"the value of {name} holds a NUL")
    return "".join(f"{name}={_quoted(value)}\n" for name, value in values.items())


def differing_names(text: str, wanted: Mapping[str, str], *, origin: str) -> list[str]:
    """Return the names, in the order wanted, that the file gives another value or none. Values are not returned.

    Raises OpsError file.grammar as `parse_assignments` does.
    """
    found = parse_assignments(text, origin=origin)
    return [name for name, value in wanted.items() if found.get(name) != value]


def disagreeing_names(text: str, other: str, *, origin: str) -> list[str]:
    """Return the names, sorted, to which two files give different values, or only one any. No value is returned.

    Raises OpsError file.grammar as `parse_assignments` does.
    """
    one, two = parse_assignments(text, origin=origin), parse_assignments(other, origin="the other secrets.env")
    return sorted(name for name in {*one, *two} if one.get(name) != two.get(name))


def grammar(origin: str, found: str) -> OpsError:
    """Return the refusal for a file whose form is wrong."""
    return OpsError(f"{origin} cannot be read: {found}", code="file.grammar", hint="correct the file; nothing was done")


def _unwritable(found: str) -> OpsError:
    return OpsError(
        f"an environment file cannot hold what was given: {found}",
        code="file.grammar",
        hint="correct the name or the value; nothing was written",
    )


@dataclass(slots=True)
class _Reader:
    text: str = field(repr=False)
    origin: str
    at: int = 0
    found: dict[str, str] = field(default_factory=dict, repr=False)

    def more(self) -> bool:
        """Skip blanks between statements and say whether one follows."""
        while self.at < len(self.text) and self.text[self.at] in f"{_BLANKS}\n":
            self.at += 1
        return self.at < len(self.text)

    def statement(self) -> None:
        line = self.text.count("\n", 0, self.at) + 1
        if self.text[self.at] in "#;":
            self._comment(line)
            return
        end = self._end_of_line()
        name, equals, _rest = self.text[self.at : end].partition("=")
        if not equals or not _NAME.fullmatch(name.rstrip(_BLANKS)):
            raise grammar(self.origin, f"line {line} is not NAME=value")
        name_end, name = len(name), name.rstrip(_BLANKS)
        if name in self.found:
            raise grammar(self.origin, f"{name} is given twice, the second time in line {line}")
        self.at += name_end + 1
        self.found[name] = self._value(line)

    def _comment(self, line: int) -> None:
        """Skip to the end of the line.

        WHY not with a backslash at its end: systemd up to 253 takes the next line into the comment, later ones do not.
        """
        end = self._end_of_line()
        comment = self.text[self.at : end].removesuffix("\r")
        if comment.endswith("\\"):
            raise grammar(self.origin, f"line {line} is a comment that ends in a backslash, read in two ways")
        if "\r" in comment:
            raise self._carriage_return(line)
        self.at = end + 1

    def _carriage_return(self, line: int) -> OpsError:
        """Return the refusal of one that does not belong to the end of a line: systemd ends the line there (X86)."""
        return grammar(self.origin, f"line {line} holds a carriage return, which systemd takes for the end of the line")

    def _next_in_line(self, line: int) -> str:
        """Return the next character outside of quotes, a carriage return before the end of the line left out."""
        letter = self._next()
        if letter == "\r" and self.text[self.at : self.at + 1] not in ("", "\n"):
            raise self._carriage_return(line)
        return letter

    def _value(self, line: int) -> str:
        """Return the value up to the end of its line. Quoted parts may follow each other; blanks between them go."""
        parts: list[str] = []
        while (letter := self._next_in_line(line)) not in ("", "\n"):
            if letter == "'":
                parts.append(self._single_quoted(line))
            elif letter == '"':
                parts.append(self._double_quoted(line))
            elif letter not in _BLANKS:
                self.at -= 1
                parts.append(self._bare(line))
                break
        return "".join(parts)

    def _bare(self, line: int) -> str:
        """Return the rest of the line. Quotes are ordinary here; blanks at the end go unless escaped."""
        kept, result = 0, ""
        while (letter := self._next_in_line(line)) not in ("", "\n"):
            if letter == "\\":
                escaped = self._next()
                if escaped == "\r":
                    raise self._carriage_return(line)
                result += "" if escaped == "\n" else escaped
                kept = len(result)
            else:
                result += letter
                kept = kept if letter in _BLANKS else len(result)
        return result[:kept]

    def _single_quoted(self, line: int) -> str:
        end = self.text.find("'", self.at)
        if end < 0:
            raise grammar(self.origin, f"line {line} has a quote that does not end")
        inner, self.at = self.text[self.at : end], end + 1
        return inner

    def _double_quoted(self, line: int) -> str:
        result = ""
        while (letter := self._next()) != '"':
            if not letter:
                raise grammar(self.origin, f"line {line} has a quote that does not end")
            if letter == "\\":
                escaped = self._next()
                letter = escaped if escaped in _ESCAPABLE_IN_DOUBLE_QUOTES else f"\\{escaped}"
                letter = "" if escaped == "\n" else letter
            result += letter
        return result

    def _next(self) -> str:
        """Return the next character and step over it, "" at the end."""
        letter = self.text[self.at : self.at + 1]
        self.at += 1
        return letter

    def _end_of_line(self) -> int:
        end = self.text.find("\n", self.at)
        return len(self.text) if end < 0 else end


def _quoted(value: str) -> str:
    if _PLAIN.fullmatch(value):
        return value
    return '"' + re.sub(f"([{re.escape(_ESCAPABLE_IN_DOUBLE_QUOTES)}])", r"\\\1", value) + '"'
