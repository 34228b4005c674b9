# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A table of a report: its rows are cut where there are too many, and each cell says its column on a narrow screen."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ._markup import Markup, Part, element
from ._report_parts import amount

ROWS = 50  # that a page shows of one table


@dataclass(frozen=True, slots=True)
class Column:
    """name: "" for one that needs none. kind: its class in the style. heads: its cell is the heading of the row."""

    name: str
    kind: str | None = None
    heads: bool = False


def table(caption: str, columns: Sequence[Column], rows: Sequence[Sequence[Part]], *, stacks: bool = False) -> Markup:
    """Return a table, and below it how many rows more the JSON has. stacks: on a narrow screen a row is a block."""
    head = element("tr", *(_heading(column) for column in columns))
    body = [element("tr", *map(_cell, columns, row)) for row in rows[:ROWS]]
    more = len(rows) - ROWS
    made = element(
        "table",
        element("caption", caption),
        element("thead", head),
        element("tbody", *body),
        class_="stacks" if stacks else None,
    )
    said = element("p", f"and {amount(more)} more, see the JSON", class_="more") if more > 0 else None
    return element("div", made, said, class_="table")


def _heading(column: Column) -> Markup:
    if not column.name:
        return element("td", class_=column.kind)
    return element("th", column.name, scope="col", class_=column.kind)


def _cell(column: Column, value: Part) -> Markup:
    if column.heads:
        return element("th", value, scope="row", class_=column.kind, data_label=column.name)
    return element("td", value, class_=column.kind, data_label=column.name or None)
