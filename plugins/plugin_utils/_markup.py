# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""HTML that is made of elements, so that every value in it is escaped. ADR-0041.

Pure. `Markup` is the only text that is put into a page as it is, and only `element` and `text` make it of values.
"""

from __future__ import annotations

import html
import re
from collections.abc import Iterable
from typing import TypeAlias

from ansible_collections.certautopilot.ops.plugins.module_utils._domain.visible import code_of, is_unseen

LONGEST, NAME = 600, 100  # characters that a page shows of one value, and of a name that somebody has chosen

EMPTY = ("br", "meta", "rect", "line", "polygon")  # elements without an end, or without anything inside


class Markup(str):
    """Text that is HTML already."""

    __slots__ = ()


Part: TypeAlias = "Markup | str | int | float | None"


def text(value: object, longest: int = LONGEST) -> Markup:
    """Return a value as text of a page: escaped, cut at so many characters; what is unseen is a code such as \\x1b.

    WHY braces too: nothing in a page can then be taken for a template by whoever handles the page later.
    """
    shown = str(value)
    cut = "…" if len(shown) > longest else ""
    return Markup("".join(map(_character, shown[:longest])) + cut)


def element(name: str, /, *parts: Part, **attributes: object) -> Markup:
    """Return an element. parts: Markup as it is, other values as text, None as nothing.

    attributes: those that are None are left out; `_` stands for `-` in a name, and one at its end for nothing.
    """
    told = "".join(
        f' {key.rstrip("_").replace("_", "-")}="{_attribute(value)}"'
        for key, value in attributes.items()
        if value is not None
    )
    if name in EMPTY:
        return Markup(f"<{name}{told}>" if name in ("br", "meta") else f"<{name}{told}/>")
    return Markup(f"<{name}{told}>{joined(parts)}</{name}>")


def joined(parts: Iterable[Part]) -> Markup:
    """Return parts one after the other, those that are no Markup as text."""
    return Markup("".join(part if isinstance(part, Markup) else text(part) for part in parts if part is not None))


def as_seen(value: object) -> str:
    """Return a value with what cannot be seen as a code, for places in which there are no elements."""
    return "".join(code_of(one) if is_unseen(one) else one for one in str(value))


def _character(one: str) -> str:
    if is_unseen(one):
        return f'<span class="code-point">{code_of(one)}</span>'
    return _braces(html.escape(one))


def _attribute(value: object) -> str:
    return _braces(html.escape(as_seen(value)))


def _braces(escaped: str) -> str:
    return re.sub(r"[{}]", lambda found: f"&#{ord(found.group())};", escaped)
