# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The timeline of a report: a strip of all stages, below it the freeze drawn larger, and a table that says the same.

Pure. Drawn with widths in percent, so that the text in it keeps its size on every screen and on paper.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ._markup import Markup, element, joined
from ._report_parts import clock, items, lasting, part, seconds_between, word
from ._report_table import Column, table

STRIP, GAP = 26, 30  # pixels
LABELLED_FROM = 5.0  # percent of the width: what is narrower has its number in the table only
SEEN_FROM = 0.5  # percent: a freeze of seconds in a run of hours must still be seen

CAUSES = {
    "stop": "the source's service is stopped",
    "quiescence": "waiting, to see that no process of the source writes any more",
    "reads": "reading what changed, and proving that nothing else did",
    "import": "writing at the destination what changed",
    "retire": "the source is retired",
    "start": "the destination starts and answers",
    "rest": "Ansible itself and its connections",
}


@dataclass(frozen=True, slots=True)
class Stage:
    """One stage. number: from 1, as it is drawn. said: what was done. frozen: nothing served then."""

    number: int
    name: str
    said: str
    began: str
    ended: str
    frozen: bool

    @property
    def seconds(self) -> float:
        return seconds_between(self.began, self.ended)

    @property
    def tint(self) -> str:
        return f"{'frozen' if self.frozen else 'live'}-{self.number % 2}"


def stages_of(report: Mapping[str, object]) -> list[Stage]:
    """Return the stages in the order in which they began. report: see `report_html`."""
    told = items(report, "stages")
    return [
        Stage(
            number,
            word(one, "name"),
            word(one, "said"),
            word(one, "began"),
            word(one, "ended"),
            part(one).get("frozen") is True,
        )
        for number, one in enumerate(told, start=1)
    ]


def timeline(report: Mapping[str, object]) -> Markup:
    """Return the drawing, and the table of stages."""
    stages = stages_of(report)
    if not stages:
        return joined([])
    whole = seconds_between(stages[0].began, stages[-1].ended)
    ends = element(
        "div",
        element("span", clock(stages[0].began)),
        element("span", f"{lasting(whole)} in all"),
        element("span", clock(stages[-1].ended)),
        class_="ends",
    )
    return joined([element("figure", ends, _drawing(stages, whole), _caption(stages)), _table(stages)])


def freeze(report: Mapping[str, object]) -> Markup:
    """Return what took the time in which nothing served, as a strip and a table; nothing where it is not told."""
    told = {name: float(word(report, "freeze", "by_cause", name) or 0) for name in part(report, "freeze", "by_cause")}
    spent = [(name, seconds) for name, seconds in told.items() if seconds > 0]
    if not spent:
        return joined([])
    whole = sum(seconds for _name, seconds in spent)
    left, drawn = 0.0, list[Markup]()
    # WHY letters: the stages have the numbers.
    for number, (_name, seconds) in enumerate(spent):
        width = 100 * seconds / whole
        drawn.append(_segment(_letter(number), left, width, 0, f"frozen-{number % 2}"))
        left += width
    rows = [
        [_swatch(_letter(number), f"frozen-{number % 2}"), name, CAUSES.get(name, ""), f"{seconds:.1f} s"]
        for number, (name, seconds) in enumerate(spent)
    ]
    columns = [
        Column("", "swatches"),
        Column("Cause", heads=True),
        Column("What it is", "long"),
        Column("Took", "number"),
    ]
    strip = element("svg", *drawn, width="100%", height=STRIP, aria_hidden="true", focusable="false")
    return joined([element("figure", strip), table("What took the time in which nothing served", columns, rows)])


def _drawing(stages: Sequence[Stage], whole: float) -> Markup:
    frozen = [stage for stage in stages if stage.frozen]
    upper, left, right = _strip(stages, whole, 0)
    if not frozen:
        return _svg(STRIP, upper)
    lower, _left, _right = _strip(frozen, sum(stage.seconds for stage in frozen), STRIP + GAP)
    # From the freeze in the upper strip to the whole of the lower one.
    cone = element(
        "svg",
        element("polygon", points=f"{left:.3f},0 {right:.3f},0 100,{GAP} 0,{GAP}", class_="cone"),
        y=STRIP,
        width="100%",
        height=GAP,
        viewBox=f"0 0 100 {GAP}",
        preserveAspectRatio="none",
    )
    return _svg(2 * STRIP + GAP, [cone, *upper, *lower])


def _svg(height: int, parts: Sequence[Markup]) -> Markup:
    # WHY hidden: the table below says all of it, in order; an image would be read as a heap of numbers.
    return element("svg", *parts, width="100%", height=height, aria_hidden="true", focusable="false")


def _strip(stages: Sequence[Stage], whole: float, top: int) -> tuple[list[Markup], float, float]:
    """Return the segments, and from where to where the frozen ones reach, in percent."""
    widths = [100 * stage.seconds / whole if whole else 100 / len(stages) for stage in stages]
    widths = [max(width, SEEN_FROM) for width in widths]
    scale = 100 / sum(widths)
    drawn, left, frozen = list[Markup](), 0.0, list[float]()
    for stage, width in zip(stages, widths, strict=True):
        drawn.append(_segment(str(stage.number), left, width * scale, top, stage.tint))
        if stage.frozen:
            frozen += [left, left + width * scale]
        left += width * scale
    return drawn, min(frozen, default=0.0), max(frozen, default=0.0)


def _segment(label: str, left: float, width: float, top: int, tint: str) -> Markup:
    place = {"x": f"{left:.3f}%", "y": top, "width": f"{width:.3f}%", "height": STRIP}
    middle = {"x": f"{left + width / 2:.3f}%", "y": top + STRIP / 2}
    fits = width >= LABELLED_FROM
    shown = element("text", label, **middle, text_anchor="middle", dominant_baseline="central") if fits else None
    return element("g", element("rect", **place), shown, class_=tint)


def _letter(number: int) -> str:
    return chr(ord("a") + number % 26)


def _caption(stages: Sequence[Stage]) -> Markup | None:
    if not any(stage.frozen for stage in stages):
        return None
    return element(
        "figcaption", "Above the whole run, below it the ", element("strong", "freeze"), ", drawn larger: the time in "
        "which nothing served. The numbers are those of the table.",
    )  # fmt: skip


def _table(stages: Sequence[Stage]) -> Markup:
    rows = [
        [_swatch(str(stage.number), stage.tint), _named(stage), stage.said, clock(stage.began), lasting(stage.seconds)]
        for stage in stages
    ]
    columns = [
        Column("", "swatches"),
        Column("Stage", "stage", heads=True),
        Column("What was done", "long"),
        Column("Began", "began"),
        Column("Took", "number"),
    ]
    return table("Stages", columns, rows)


def _named(stage: Stage) -> Markup:
    mark = element("span", "freeze", class_="tag") if stage.frozen else None
    return element("span", stage.name, " " if mark else None, mark)


def _swatch(label: str, tint: str) -> Markup:
    return element("span", label, class_=f"swatch {tint}")
