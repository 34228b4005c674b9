# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What only the page of a failed migration has: what is left to do, hosts, and last words of services. Pure."""

from __future__ import annotations

from collections.abc import Mapping

from ._markup import Markup, Part, element, joined
from ._report_parts import clock, items, part, parts, word
from ._report_table import Column, table


def left(report: Mapping[str, object]) -> Markup:
    """Return what is left to do, as a list in its order."""
    steps = [element("li", str(one)) for one in items(report, "left_to_do")]
    return element("ol", *steps) if steps else joined([])


def hosts(report: Mapping[str, object]) -> Markup:
    """Return of each host how its service was and is, and what became of it; of a silent one that it is silent."""
    rows: list[list[Part]] = [
        [word(one, "host"), word(one, "side"), _unit(part(one, "unit_before")), _unit(part(one, "unit_now")),
         ", ".join(map(str, items(one, "changes"))) or "nothing"]
        for one in parts(report, "said")
    ]  # fmt: skip
    rows += [[str(name), "", "", "cannot be reached", "not known"] for name in items(report, "unreachable")]
    names = ("Host", "Side", "Its service before", "Its service now", "What the run did to it")
    columns = [Column(name, heads=not place) for place, name in enumerate(names)]
    return table("Services", columns, rows, stacks=True) if rows else joined([])


def journals(report: Mapping[str, object]) -> Markup:
    """Return the last lines of each service, secrets masked."""
    kept = [(word(one, "host"), [str(line) for line in items(one, "journal")]) for one in parts(report, "said")]
    shown = [
        element("div", element("h3", host), element("ul", *(element("li", element("code", line)) for line in lines)))
        for host, lines in kept if lines
    ]  # fmt: skip
    return joined(shown)


def digests(report: Mapping[str, object]) -> Markup:
    """Return the digests of the source's records before and after, and when each stage began."""
    rows: list[list[Part]] = [[name, element("code", str(value))] for name, value in part(report, "digests").items()]
    rows += [[f"stage {name}", clock(began)] for name, began in part(report, "stages_started").items()]
    return table("Before and after", [Column("What", heads=True), Column("Value")], rows) if rows else joined([])


def _unit(unit: Mapping[str, object]) -> str:
    if not word(unit, "active_state"):
        return "nobody looked"
    words = [word(unit, "active_state"), "enabled" if unit.get("enabled") is True else "not enabled"]
    return ", ".join([*words, *(["retired"] if unit.get("retired") is True else [])])
