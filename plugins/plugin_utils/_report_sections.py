# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The sections of a report's page. Each is empty where the report says nothing of it. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from ._markup import NAME, Markup, element, joined, text
from ._report_parts import amount, clock, count, items, part, word
from ._report_table import Column, table

SIDES = ("source", "destination")
DIGESTS = (
    ("bundle_id", "Bundle"),
    ("created_at", "Made"),
    ("base", "On top of bundle"),
    ("found_by", "Found by"),
    ("layout", "Layout of the envelopes"),
    ("records_sha256", "SHA-256 of the encrypted records"),
    ("manifest_sha256", "SHA-256 of the manifest"),
    ("metadata_sha256", "SHA-256 of options and indexes"),
    ("records_digest", "Keyed digest of all records, in order"),
    ("source_digest", "SHA-256 of the source's records as they were read"),
)


def section(name: str, title: str, *parts: Markup | None) -> Markup:
    """Return a section with its heading; nothing where its parts are empty."""
    inside = joined(parts)
    if not inside:
        return inside
    return element("section", element("h2", title, id=name), inside, aria_labelledby=name, class_=name)


def sides(report: Mapping[str, object]) -> Markup:
    """Return what the two sides of a migration are, beside each other."""
    lines: list[tuple[str, list[Markup | str]]] = [
        ("Hosts", [", ".join(map(str, items(report, "hosts", side))) for side in SIDES]),
        ("Provider", [word(report, name, "provider") for name in ("from", "to")]),
        ("Installation", [element("code", word(report, name, "install_id")) for name in ("from", "to")]),
        ("Installed", [_when(word(report, name, "installed_at")) for name in ("from", "to")]),
        ("Database", [word(report, "databases", side) for side in SIDES]),
    ]
    rows = [[name, *values] for name, values in lines if any(values)]
    columns = [Column("", heads=True), Column("Source"), Column("Destination")]
    return table("The two sides", columns, rows, stacks=True) if part(report, "to") else joined([])


def installation(report: Mapping[str, object]) -> Markup:
    """Return what installation was rotated."""
    lock = part(report, "installation")
    lines = [(title, word(lock, name)) for title, name in (("Provider", "provider"), ("Installation", "install_id"))]
    hosts = ", ".join(map(str, items(report, "hosts", "installation")))
    return _facts("The installation", [*lines, ("Database", word(report, "database")), ("Hosts", hosts)])


def counts(report: Mapping[str, object]) -> Markup:
    """Return how many records, by collection and by project, on both sides."""
    collections = [part(one) for one in items(report, "collections")]
    projects = [part(one) for one in items(report, "projects")]
    # WHY what is not equal first: rows are cut.
    by_size = sorted(projects, key=lambda one: (count(one, "exported") == count(one, "equal"), -count(one, "exported")))
    told = [_counts("By collection", "Collection", collections, _collection_name)] if collections else []
    if any("exported" in one for one in by_size):
        told.append(_counts("By project", "Project", by_size, _project_name))
    if not told:
        return joined([])
    said = element(
        "p",
        "Each record was counted as it was written to the bundle, and again at the destination, where it was opened "
        "and compared. What changed while that went on followed in the freeze, and was compared as well; the last "
        "check showed that nothing else had moved on either side",
        f" (found by {word(report, 'changes_found_by')})" if word(report, "changes_found_by") else None,
        ".",
    )
    return joined([said, *told])


def left(report: Mapping[str, object]) -> Markup:
    """Return what did not travel, and notes on what did."""
    told = [part(one) for one in items(report, "not_travelled")]
    with_project = any(word(one, "project") for one in told)
    columns = [Column("What", heads=True), Column("Why it stayed"), Column("What that means")]
    rows = [[word(one, "what"), word(one, "why"), word(one, "effect")] for one in told]
    if with_project:
        columns.insert(0, Column("Project"))
        rows = [[word(one, "project"), *row] for one, row in zip(told, rows, strict=True)]
    listed = table("What stayed at the source", columns, rows, stacks=True) if rows else None
    return joined([listed, _list(items(report, "notes"))])


def expiring(report: Mapping[str, object]) -> Markup:
    """Return the certificates that run out soon."""
    told = [part(one) for one in items(report, "expiring", "certificates")]
    days, found = count(report, "expiring", "within_days"), count(report, "expiring", "count")
    if not days:
        return joined([])
    if not told:
        return element("p", f"No certificate runs out within {days} days of the export.")
    columns = [Column("Certificate", heads=True), Column("Project"), Column("Runs out", "time")]
    rows = [[_name(word(one, "name")), _name(word(one, "project")), _when(word(one, "not_after"))] for one in told]
    said = element(
        "p",
        f"{amount(found)} certificate(s) run out within {days} days of the export, or had already. See that the "
        "destination renews them: those at the top first.",
    )
    frozen = items(report, "expiring", "while_frozen")
    lapsed = element(
        "p",
        f"{amount(len(frozen))} of them ran out while nothing served: renew them by hand if the first sweep does not.",
    )
    more = element("p", f"and {amount(found - len(told))} more at the source", class_="more")
    return joined(
        [
            said,
            lapsed if frozen else None,
            table("Soonest first", columns, rows, stacks=True),
            more if found > len(told) else None,
        ]
    )


def keys(report: Mapping[str, object]) -> Markup:
    """Return the KEK versions of both sides with their check values."""
    rows = [
        [
            side,
            word(one, "version"),
            word(one, "provider"),
            word(one, "state"),
            element("code", word(one, "check_value")),
        ]
        for side in part(report, "keys")
        for one in items(report, "keys", side, "versions")
    ]
    columns = [
        Column("Side", heads=True),
        Column("Version"),
        Column("Provider"),
        Column("State"),
        Column("Check value"),
    ]
    said = element("p", "A check value tells keys apart and gives nothing of them away.")
    return joined([said, table("KEK versions", columns, rows, stacks=True)]) if rows else joined([])


def digests(report: Mapping[str, object]) -> Markup:
    """Return what the bundles and the backup can be recognised by."""
    bundles = [part(one) for one in items(report, "bundles")]
    told = [_facts(_bundle_title(one), [(title, word(one, name)) for name, title in DIGESTS]) for one in bundles]
    backup = part(report, "backup")
    lines = [
        ("Made", word(backup, "created_at")),
        ("Documents", word(backup, "documents")),
        ("Envelopes opened in it", word(backup, "envelopes")),
        ("SHA-256 over every record of the source", word(backup, "source_digest")),
        *(("Lies on the source in", str(one)) for one in items(report, "backups_kept")),
    ]
    return joined([*told, _facts("The backup of the source", lines)])


def moved(report: Mapping[str, object]) -> Markup:
    """Return what a rotation moved, and what it could not."""
    failures = [part(one) for one in items(report, "rotation", "failures")]
    columns = [Column("Place", heads=True), Column("Code"), Column("Why")]
    rows = [[_name(word(one, "place")), word(one, "code"), word(one, "reason")] for one in failures]
    stuck = table("Envelopes that cannot move", columns, rows, stacks=True) if rows else None
    by_version = [[f"version {one}", _many(part(report, "by_version"), one)] for one in part(report, "by_version")]
    by_field = [[word(one, "field"), _many(part(one), "count")] for one in items(report, "by_field")]
    counted = [
        table(caption, [Column(title, heads=True), Column("Envelopes", "number")], told)
        for caption, title, told in (("By version", "Sealed under", by_version), ("By field", "Field", by_field))
        if told
    ]
    return joined([stuck, *counted])


def warnings(report: Mapping[str, object]) -> Markup:
    """Return the warnings, or that there are none."""
    told = items(report, "warnings")
    return _list(told) or element("p", "None.")


def steps(told: Sequence[object]) -> Markup:
    """Return steps for a person. told: [{do, on, command}]."""
    return element("ol", *(_step(part(one)) for one in told), class_="steps") if told else joined([])


def _step(one: Mapping[str, object]) -> Markup:
    hosts, command = word(one, "on"), word(one, "command")
    return element(
        "li",
        word(one, "do"),
        element("span", f"On {hosts}", class_="on") if hosts else None,
        element("pre", element("code", command)) if command else None,
    )


def _counts(
    caption: str, title: str, told: Sequence[Mapping[str, object]], name: Callable[[Mapping[str, object]], Markup]
) -> Markup:
    removes, expires = any("removed" in one for one in told), any(count(one, "expiring") for one in told)
    rows = [
        [
            name(one),
            _many(one, "exported"),
            _equal(one),
            _many(one, "changed"),
            *([_many(one, "removed")] if removes else []),
            *([_many(one, "expiring")] if expires else []),
        ]
        for one in told
    ]
    columns = [
        Column(title, heads=True),
        Column("Exported", "number"),
        Column("Equal", "number"),
        Column("New or changed since", "number"),
        *([Column("Gone since", "number")] if removes else []),
        *([Column("Certificates that run out soon", "number")] if expires else []),
    ]
    return table(caption, columns, rows, stacks=True)


def _many(one: Mapping[str, object], name: str) -> Markup:
    found = count(one, name)
    return element("span", amount(found), class_=None if found else "none")


def _equal(one: Mapping[str, object]) -> Markup:
    """Return how many are equal, with a mark in words and not by colour alone where some are not."""
    exported, equal = count(one, "exported"), count(one, "equal")
    said = amount(equal) if equal == exported else f"{amount(equal)} of {amount(exported)}"
    return element("span", said, class_="none" if not exported else "good" if equal == exported else "bad")


def _collection_name(one: Mapping[str, object]) -> Markup:
    sealed = count(one, "envelopes")
    return element(
        "span",
        _name(word(one, "name")),
        element("span", f" {amount(sealed)} sealed", class_="aside") if sealed else None,
    )


def _project_name(one: Mapping[str, object]) -> Markup:
    if not word(one, "id"):
        return element("span", "of no project", class_="aside")
    told = _name(word(one, "name") or "without a name")
    return element("span", told, element("span", " ", _name(word(one, "id")), class_="aside"))


def _name(told: str) -> Markup:
    return text(told, NAME)


def _bundle_title(bundle: Mapping[str, object]) -> str:
    return "The bundle of what changed" if word(bundle, "base") else "The bundle of everything"


def _facts(title: str, lines: Sequence[tuple[str, str]]) -> Markup:
    told = [(name, value) for name, value in lines if value]
    if not told:
        return joined([])
    rows = [joined([element("dt", name), element("dd", element("code", value))]) for name, value in told]
    return joined([element("h3", title), element("dl", *rows)])


def _list(told: Sequence[object]) -> Markup:
    return element("ul", *(element("li", str(one)) for one in told)) if told else joined([])


def _when(told: str) -> Markup:
    return element("time", clock(told)) if told else joined([])
