# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""secrets.env as systemd's EnvironmentFile= reads it: quotes, escapes and continued lines.

States: key, before value, value, single quotes, double quotes, comment. Source: systemd.exec(5), EnvironmentFile=.
"""

from __future__ import annotations

from collections.abc import Iterator

ESCAPED_IN_DOUBLE_QUOTES = '"\\`$'


def parse(text: str) -> dict[str, str]:
    """Return name -> value. Lines without `=` are dropped, as systemd does; of two equal names the last one counts."""
    found: dict[str, str] = {}
    letters = iter(text)
    for letter in letters:
        if letter in "#;":
            _skip_comment(letters)
        elif not letter.isspace():
            name, assigned = _name(letter, letters)
            if assigned:
                found[name] = _value(letters)
    return found


def _skip_comment(letters: Iterator[str]) -> None:
    for letter in letters:
        if letter == "\\":
            next(letters, "")
        elif letter == "\n":
            return


def _name(first: str, letters: Iterator[str]) -> tuple[str, bool]:
    """Return (name, whether a `=` followed it on its line)."""
    name = first
    for letter in letters:
        if letter in "=\n":
            return name.strip(), letter == "="
        name += letter
    return name, False


def _value(letters: Iterator[str]) -> str:
    """Return the value up to the end of its line; quotes count only where a word may begin."""
    value, kept, begins = "", 0, True  # kept: length that stripping the blanks at the end must not go below
    for letter in letters:
        if letter == "\n":
            break
        if begins and letter in "'\"":
            value += _quoted(letter, letters)
            kept = len(value)
        elif letter == "\\":
            follower = next(letters, "")
            value += "" if follower == "\n" else follower
            kept, begins = len(value), False
        elif not (begins and letter.isspace()):
            value, begins = value + letter, False
    return value[:kept] + value[kept:].rstrip()


def _quoted(quote: str, letters: Iterator[str]) -> str:
    value = ""
    for letter in letters:
        if letter == quote:
            break
        if letter == "\\" and quote == '"':
            follower = next(letters, "")
            plain = follower in ESCAPED_IN_DOUBLE_QUOTES
            value += "" if follower == "\n" else follower if plain else letter + follower
        else:
            value += letter
    return value
