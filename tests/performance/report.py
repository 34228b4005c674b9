# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Rows of the benchmark: what was measured, what was aimed at, as a table and as JSON. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

HEADINGS = ("name", "N", "wall s", "rate /s", "ratio", "goal", "met")


@dataclass(frozen=True)
class Goal:
    """least: True when the figure must reach the limit, False when it must stay below. unit: of figure and limit."""

    least: bool
    limit: float
    unit: str = ""

    def is_met(self, figure: float) -> bool:
        return figure >= self.limit if self.least else figure <= self.limit

    def __str__(self) -> str:
        return f"{'>=' if self.least else '<='} {self.limit:g}{' ' + self.unit if self.unit else ''}"


@dataclass(frozen=True)
class Row:
    """One measurement. n: envelopes. ratio: the figure that the goal is about. note: what else a reader must know.

    doubt: why the figure cannot be judged, "" where it can.
    """

    name: str
    n: int
    wall_s: float | None = None
    ratio: float | None = None
    goal: Goal | None = None
    note: str = ""
    doubt: str = ""

    @property
    def rate(self) -> float | None:
        return self.n / self.wall_s if self.wall_s else None

    @property
    def is_met(self) -> bool | None:
        """None where there is no goal, nothing was measured, or the figure is in doubt."""
        return None if self.goal is None or self.ratio is None or self.doubt else self.goal.is_met(self.ratio)

    def as_json(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "n": self.n,
            "wall_s": _rounded(self.wall_s),
            "rate": _rounded(self.rate),
            "ratio": _rounded(self.ratio),
            "goal": str(self.goal) if self.goal else None,
            "met": self.is_met,
            "note": self.note,
            "doubt": self.doubt,
        }


def table(rows: Sequence[Row]) -> str:
    """Return the rows as text that is a Markdown table as well, columns aligned; notes follow below it."""
    cells = [HEADINGS, *(_cells(row) for row in rows)]
    widths = [max(len(line[column]) for line in cells) for column in range(len(HEADINGS))]
    lines = [_line(line, widths) for line in cells]
    lines.insert(1, "|" + "|".join("-" * (width + 2) for width in widths) + "|")
    notes = [f"- {row.name}, {row.n}: {text}" for row in rows for text in (row.note, row.doubt) if text]
    return "\n".join([*lines, *([""] if notes else []), *notes])


def document(rows: Sequence[Row], facts: Mapping[str, Any]) -> dict[str, Any]:
    """Return what build/bench.json holds. facts: when and on what it ran."""
    judged = [row.is_met for row in rows if row.is_met is not None]
    return {**facts, "goals": len(judged), "goals_met": sum(judged), "rows": [row.as_json() for row in rows]}


def _cells(row: Row) -> tuple[str, ...]:
    met = "unsteady" if row.doubt else {None: "-", True: "yes", False: "no"}[row.is_met]
    return (
        row.name,
        str(row.n),
        "-" if row.wall_s is None else f"{row.wall_s:.2f}",
        "-" if row.rate is None else f"{row.rate:.0f}",
        "-" if row.ratio is None else f"{row.ratio:.2f}",
        str(row.goal) if row.goal else "-",
        met,
    )


def _line(cells: Sequence[str], widths: Sequence[int]) -> str:
    first, *others = zip(cells, widths, strict=True)
    return "| " + " | ".join([f"{first[0]:<{first[1]}}", *(f"{cell:>{width}}" for cell, width in others)]) + " |"


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 4)
