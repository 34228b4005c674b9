# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What only the page of a rehearsal has: how long the migration will take, its space, and what blocks it. Pure."""

from __future__ import annotations

from collections.abc import Mapping

from ._markup import Markup, Part, element, joined
from ._migration_report import STAGES
from ._report_parts import items, lasting, number, part, word
from ._report_table import Column, table

FREEZE = {
    "stop": "to stop the source, as a service that has nothing to recover; only stopping it would tell",
    "quiescence": "heartbeats are watched, as the inventory says for how long",
    "lines": "tasks besides, at the price of one that does nothing here",
    "differences": STAGES["differences"],
    "proof": STAGES["proof"],
    "start": "to start the destination; only starting it would tell",
}
UNITS = ("B", "kB", "MB", "GB", "TB")


def forecast(report: Mapping[str, object]) -> Markup:
    """Return how long each stage will take, and what makes up the time in which nothing will serve."""
    whole, frozen = part(report, "forecast", "by_cause"), part(report, "forecast", "freeze", "by_cause")
    if not part(report, "forecast", "stages"):  # it was blocked before anything was measured
        return joined([])
    said = {**STAGES, "freeze": "nothing serves; what makes it up is below"}
    columns = [Column("Stage", heads=True), Column("What it is", "long"), Column("Will take", "number")]
    stages = [[name, said.get(name, ""), _took(whole, name)] for name in whole]
    causes = [[name, FREEZE.get(name, ""), _took(frozen, name)] for name in frozen]
    heads = [Column("Cause", heads=True), *columns[1:]]
    return joined(
        [
            table("The migration, by what the rehearsal took", columns, stages),
            table("The freeze", heads, causes) if causes else None,
        ]
    )


def space(report: Mapping[str, object]) -> Markup:
    """Return what lay in each folder of the rehearsal, and what is free there."""
    rows: list[list[Part]] = [
        [side, element("code", folder), _size(number(sizes, "needed_bytes")), _size(number(sizes, "free_bytes"))]
        for side, folders in part(report, "space").items()
        for folder, sizes in part(folders).items()
    ]
    columns = [Column("Side", heads=True), Column("Folder"), Column("Needs", "number"), Column("Is free", "number")]
    return table("Space", columns, rows, stacks=True) if rows else joined([])


def blockers(report: Mapping[str, object]) -> Markup:
    """Return everything that blocks the migration, with the way out."""
    rows = [[word(one, name) for name in ("host", "found", "way_out", "code")] for one in items(report, "blockers")]
    columns = [Column("Host", heads=True), Column("What was found"), Column("The way out"), Column("Code")]
    return table("All of it, on all hosts", columns, rows, stacks=True) if rows else joined([])


def _took(spent: Mapping[str, object], name: str) -> str:
    return lasting(number(spent, name) or 0.0)


def _size(told: float | None) -> str:
    size, unit = told or 0.0, 0
    while size >= 1000 and unit < len(UNITS) - 1:
        size, unit = size / 1000, unit + 1
    return f"{size:.0f} {UNITS[unit]}" if unit == 0 else f"{size:.1f} {UNITS[unit]}"
