# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The page of a report: one HTML file that needs nothing but itself, in light, in dark and on paper. ADR-0041. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from . import _report_failure as failure
from . import _report_rehearsal as rehearsal
from . import _report_sections as sections
from ._markup import Markup, element
from ._migration_failure import FAILURE
from ._report_parts import amount, clock, count, items, lasting, number, part, seconds_between, word
from ._report_style import STYLE
from ._report_timeline import freeze, timeline

POLICY = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"
"""Even a value that were taken for HTML could load nothing and run nothing."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a report comes to. good: whether nothing is wrong. said: in one sentence."""

    good: bool
    said: str


def page(report: Mapping[str, object]) -> str:
    """Return the whole page. report: kind is migration, rehearsal or rotation; the rest see the filter's page."""
    title = f"{_kind(report)}: {_headline(report)}"
    head = element(
        "head",
        element("meta", charset="utf-8"),
        element("meta", name="viewport", content="width=device-width, initial-scale=1"),
        element("meta", http_equiv="Content-Security-Policy", content=POLICY),
        element("meta", name="referrer", content="no-referrer"),
        element("title", title),
        element("style", Markup(STYLE)),  # SAFE BECAUSE it is ours, and no value is in it
    )
    told = _sections(report)
    body = element("body", _header(report), _contents(told), element("main", *told.values()), _footer(report))
    return f"<!doctype html>\n{element('html', head, body, lang='en')}\n"


def _sections(report: Mapping[str, object]) -> dict[tuple[str, str], Markup]:
    """Return (id, title) -> section, in their order, those that say something."""
    told = {
        ("todo", "What is left to do"): [failure.left(report)],
        ("services", "What was stopped and started"): [failure.hosts(report)],
        ("journals", "The last lines of the services"): [failure.journals(report)],
        ("found", "Digests, and when each stage began"): [failure.digests(report) if _failed(report) else None],
        ("blockers", "What blocks the migration"): [rehearsal.blockers(report)],
        ("forecast", "How long the migration will take"): [rehearsal.forecast(report)],
        ("space", "How much space it needs"): [rehearsal.space(report)],
        ("timeline", "Timeline"): [timeline(report)],
        ("freeze", "The freeze"): [freeze(report)],
        ("sides", "Where" if _rotates(report) else "From where to where"): [
            sections.sides(report),
            sections.installation(report),
        ],
        ("records", "Records"): [sections.counts(report)],
        ("envelopes", "Envelopes"): [sections.moved(report)],
        ("left", f"What {'will' if _rehearses(report) else 'did'} not travel"): [sections.left(report)],
        ("expiring", "Certificates that run out soon"): [sections.expiring(report)],
        ("warnings", "Warnings"): [sections.warnings(report)],
        ("back", "How to go back"): [sections.steps(items(report, "going_back"))],
        ("retire", "How to retire the old version" if _rotates(report) else "How to retire the source"): [
            sections.steps(items(report, "retiring"))
        ],
        ("keys", "Keys"): [sections.keys(report)],
        ("digests", "Digests"): [sections.digests(report)],
    }
    made = {key: sections.section(*key, *parts) for key, parts in told.items()}
    return {key: one for key, one in made.items() if one}


def _header(report: Mapping[str, object]) -> Markup:
    found = _outcome(report)
    mark = element("span", "\u2713" if found.good else "!", class_="mark", aria_hidden="true")
    said = element("p", mark, element("span", found.said), class_=f"outcome {'good' if found.good else 'bad'}")
    numbers = [
        element("div", element("dt", name), element("dd", value))
        for name, value in _numbers(report)
        if value is not None
    ]
    return element(
        "header",
        element("p", _kind(report), " \u00b7 ", element("time", clock(word(report, "finished"))), class_="over"),
        element("h1", _headline(report)),
        said,
        element("dl", *numbers, class_="numbers") if numbers else None,
    )


def _rotates(report: Mapping[str, object]) -> bool:
    return word(report, "kind") == "rotation"


def _rehearses(report: Mapping[str, object]) -> bool:
    return word(report, "kind") == "rehearsal"


def _failed(report: Mapping[str, object]) -> bool:
    return word(report, "kind") == FAILURE


def _kind(report: Mapping[str, object]) -> str:
    told = {
        FAILURE: "Failed migration",
        "migration": "Migration",
        "rehearsal": "Rehearsal of a migration",
        "rotation": "Rotation",
    }
    return told.get(word(report, "kind"), "Report")


def _headline(report: Mapping[str, object]) -> str:
    if _rotates(report):
        old, new = (word(report, "rotation", name) for name in ("from_version", "to_version"))
        return f"KEK version {old or '?'} \u2192 {new}"
    if _failed(report):
        return f"stage {word(report, 'stage')}"
    return f"{word(report, 'from', 'provider')} \u2192 {word(report, 'to', 'provider')}"


def _outcome(report: Mapping[str, object]) -> Outcome:
    if _rotates(report):
        return _rotation_outcome(part(report, "rotation"))
    if _failed(report):
        return _failure_outcome(report)
    blocked = len(items(report, "blockers"))
    if blocked:
        return Outcome(False, f"{blocked} thing(s) block the migration. Nothing was stopped: the source serves.")
    records, equal, lost = (count(report, name) for name in ("records", "equal", "lost"))
    if lost or equal != records or not records:
        return Outcome(
            False, f"{amount(equal)} of {amount(records)} records are known to be equal, {amount(lost)} are not."
        )
    if _rehearses(report):
        said = f"All {amount(records)} records were equal in the rehearsal."
        return Outcome(True, f"{said} Nothing was accepted, stopped or retired: the source serves.")
    return Outcome(True, f"All {amount(records)} records are at the destination and equal. None was lost.")


def _rotation_outcome(rotation: Mapping[str, object]) -> Outcome:
    state, failures = word(rotation, "state"), len(items(rotation, "failures"))
    moved = f"{amount(count(rotation, 'rewrapped'))} envelopes were re-wrapped"
    if state == "complete" and not failures:
        return Outcome(True, f"{moved}; version {word(rotation, 'to_version')} is active.")
    return Outcome(False, f"The rotation is {state or 'in an unknown state'}: {moved}, {failures} cannot move.")


def _failure_outcome(report: Mapping[str, object]) -> Outcome:
    down = items(report, "source_not_known_to_run")
    serves = f"the source is not known to run on {', '.join(map(str, down))}" if down else "the source runs"
    return Outcome(False, f"It failed at \u201c{word(report, 'failed_by')}\u201d; {serves}.")


def _numbers(report: Mapping[str, object]) -> list[tuple[str, str | None]]:
    """Return the numbers that one looks for first."""
    frozen = number(report, "freeze", "seconds")
    took = seconds_between(word(report, "began"), word(report, "finished"))
    sealed, was_run = count(report, "envelopes"), not _rehearses(report) or count(report, "records")
    return [
        ("records", amount(count(report, "records")) if "records" in report and was_run else None),
        ("envelopes" if _rotates(report) else "sealed anew", amount(sealed) if sealed else None),
        ("re-wrapped", amount(count(report, "rotation", "rewrapped")) if _rotates(report) else None),
        ("lost", amount(count(report, "lost")) if "lost" in report and was_run else None),
        ("nothing served, at most", lasting(frozen) if frozen is not None else None),
        ("in all", lasting(took) if took else None),
        ("nothing will serve, about", _forecast(report, "freeze", "seconds")),
        ("the migration will take, about", _forecast(report, "seconds")),
    ]


def _forecast(report: Mapping[str, object], *names: str) -> str | None:
    seconds = number(report, "forecast", *names)
    return lasting(seconds) if seconds is not None and part(report, "forecast", "stages") else None


def _contents(told: Mapping[tuple[str, str], Markup]) -> Markup:
    links = [element("li", element("a", title, href=f"#{name}")) for name, title in told]
    return element("nav", element("ul", *links), aria_label="Contents")


def _footer(report: Mapping[str, object]) -> Markup:
    return element(
        "footer",
        element(
            "p",
            "Written by certautopilot.ops from the JSON file of the same name beside it, which has everything. Times "
            "are UTC, by the controller's clock. Nothing here is secret by itself, but names of hosts, projects and "
            "certificates are in it.",
        ),
        element("p", word(report, "format"), class_="aside"),
    )
