# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Text that others wrote, as a terminal, a log or a page may show it: what nobody can see is a code (X28). Pure.

A name in a database or an answer of an HSM may hold what moves a cursor, turns round what follows, or begins a line
that looks like ours. Escaped text stays as it is when it is escaped again.
"""

from __future__ import annotations

import unicodedata

UNSEEN = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})
"""Categories of characters that a reader cannot see, or that change how the rest is seen. Source: Unicode, UAX #44."""

_SHORT = {"\n": "\\n", "\r": "\\r", "\t": "\\t"}
LAYOUT = "\n\t"  # of a value with lines of its own, which whoever prints a result as JSON or YAML escapes or indents


def visible(text: str, *, keep: str = "") -> str:
    """Return the text with what cannot be seen as a code such as \\x1b. keep: characters that stay."""
    if text.isprintable():  # WHY: nearly every text is, and results are long
        return text
    return "".join(_shown(letter) if is_unseen(letter) and letter not in keep else letter for letter in text)


def is_unseen(letter: str) -> bool:
    """Return whether a character cannot be seen, or changes how others are."""
    return unicodedata.category(letter) in UNSEEN


def code_of(letter: str) -> str:
    """Return the code of a character: \\x1b, \\u202e, \\U000e0041."""
    point = ord(letter)
    return f"\\x{point:02x}" if point < 0x100 else f"\\u{point:04x}" if point < 0x10000 else f"\\U{point:08x}"


def _shown(letter: str) -> str:
    return _SHORT.get(letter) or code_of(letter)
