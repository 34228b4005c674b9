# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Where to cut collections into ranges of about equal work, found while a survey walks them anyway. Pure.

PRIVATE to the collection. Memory is bounded: when there are too many cuts, every second one is dropped and the rest
stand for twice the work.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Any

from .catalogue import Found
from .envelope import Envelope

_CUTS_AT_MOST = 1024  # of one collection


@dataclass(frozen=True, slots=True)
class Range:
    """Ids of a collection from `low` (included) to `high` (excluded), None for an open end.

    envelopes: how many were to be moved when it was cut.
    """

    collection: str
    low: Any
    high: Any
    envelopes: int

    def query(self) -> dict[str, Any]:
        """Return the condition on `_id`, empty for a whole collection."""
        bounds = {"$gte": self.low, "$lt": self.high}
        limits = {operator: bound for operator, bound in bounds.items() if bound is not None}
        return {"_id": limits} if limits else {}


class Cuts:
    """Collects where ranges may begin. stride: envelopes to move in a range, at least."""

    def __init__(self, to_version: int, *, stride: int) -> None:
        self._to_version = to_version
        self._stride = stride
        self._seen: dict[str, list[tuple[Any, int]]] = {}
        self._pending: Counter[str] = Counter()
        self._strides: dict[str, int] = {}

    def note(self, found: Found, envelope: Envelope) -> None:
        """Take up one envelope of a survey that walks each collection in `_id` order."""
        if envelope.kek_version == self._to_version:
            return
        name, count = found.collection, self._pending[found.collection]
        self._pending[name] = count + 1
        cuts = self._seen.setdefault(name, [])
        stride = self._strides.get(name, self._stride)
        if count and count - (cuts[-1][1] if cuts else 0) >= stride and (not cuts or cuts[-1][0] != found.record_id):
            cuts.append((found.record_id, count))
            if len(cuts) > _CUTS_AT_MOST:
                del cuts[::2]
                self._strides[name] = 2 * stride

    def ranges(self) -> list[Range]:
        """Return ranges that together cover every collection with envelopes to move, ids of one BSON type only.

        WHY only of one type: MongoDB compares ids within their type, so a range between an id of each would be empty.
        """
        made = []
        for name, pending in sorted(self._pending.items()):
            cuts = self._seen[name]
            if len({type(record_id) for record_id, _before in cuts}) > 1:
                cuts = []
            lows = [(None, 0), *cuts]
            highs = [*cuts, (None, pending)]
            for (low, before), (high, after) in zip(lows, highs, strict=True):
                made.append(Range(name, low, high, after - before))
        return made
