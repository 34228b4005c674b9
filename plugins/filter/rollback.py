# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Filters for the role rollback: what a destination has written since its acceptance, in a sentence and in lines."""

from __future__ import annotations

from collections.abc import Callable, Mapping

LISTED_AT_MOST = 20
NO_PROJECT = "none"


def writes_said(writes: Mapping[str, object]) -> str:
    """Return one sentence. writes: of migration_writes; empty where nobody could ask."""
    if "records" not in writes:
        return "what the destination has written since is not known, because nobody could ask it"
    if writes["records"] is None:
        return (
            "what the destination has written since cannot be told, because its database server keeps no oplog and the "
            "index of the import is gone"
        )
    bound = "" if writes.get("exact") else "at most "
    if not writes["records"]:
        return "the destination has written nothing since"
    return f"the destination has written {bound}{writes['records']} record(s) since, in {_by_collection(writes)}"


def writes_listed(writes: Mapping[str, object]) -> list[str]:
    """Return lines: the sentence, counts by project, and the first of the records."""
    projects, places = writes.get("projects"), writes.get("places")
    lines = [writes_said(writes)]
    if isinstance(projects, Mapping) and projects:
        counts = ", ".join(f"{name or NO_PROJECT} {number}" for name, number in sorted(projects.items()))
        lines.append(f"by project: {counts}")
    if isinstance(places, list):
        lines += [str(place) for place in places[:LISTED_AT_MOST]]
        more = int(str(writes.get("records") or 0)) - len(places[:LISTED_AT_MOST])
        lines += [f"and {more} more"] if more > 0 else []
    return lines


def _by_collection(writes: Mapping[str, object]) -> str:
    collections = writes.get("collections")
    if not isinstance(collections, Mapping):
        return "no known collection"
    told = []
    for name, counts in sorted(collections.items()):
        gone = f" and {counts['gone']} removed" if counts["gone"] else ""
        told.append(f"{name} ({counts['written']} written{gone})")
    return ", ".join(told)


class FilterModule:
    def filters(self) -> dict[str, Callable[..., object]]:
        return {"writes_listed": writes_listed, "writes_said": writes_said}
