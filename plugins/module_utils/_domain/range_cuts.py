# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Where to cut collections into ranges of about equal work, found while a survey walks them anyway.

Pure but for chance. A random sample of the ids is kept, of bounded size and in any order; its quantiles are the cuts.
They need not be exact: ranges only spread work.
"""

from __future__ import annotations

import random
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise

from .catalogue import Found
from .envelope import Envelope
from .values import BsonValue, Document

SAMPLE = 1024  # ids kept of a collection
RANGES_AT_MOST = 128  # of a collection: eight ids of the sample for each


@dataclass(frozen=True, slots=True)
class Range:
    """Ids of a collection from `low` (included) to `high` (excluded), None for an open end.

    envelopes: about how many were to be moved when it was cut.
    """

    collection: str
    low: BsonValue
    high: BsonValue
    envelopes: int

    def query(self) -> Document:
        """Return the condition on `_id`, empty for a whole collection."""
        bounds = {"$gte": self.low, "$lt": self.high}
        limits = {operator: bound for operator, bound in bounds.items() if bound is not None}
        return {"_id": limits} if limits else {}


@dataclass(slots=True)
class _Seen:
    """envelopes: to move. ids: a sample of the records that carry them, each as likely as any other (algorithm R)."""

    envelopes: int = 0
    ids: list[BsonValue] = field(default_factory=list)

    def add(self, record_id: BsonValue) -> None:
        self.envelopes += 1
        if len(self.ids) < SAMPLE:
            self.ids.append(record_id)
        elif (place := random.randrange(self.envelopes)) < SAMPLE:  # noqa: S311  a sample, not a secret
            self.ids[place] = record_id


class Cuts:
    """Collects where ranges may begin. stride: envelopes to move in a range, at least on average."""

    def __init__(self, to_version: int, *, stride: int) -> None:
        self._to_version = to_version
        self._stride = stride
        self._seen: dict[str, _Seen] = {}

    def note(self, found: Found, envelope: Envelope) -> None:
        """Take up one envelope of a survey."""
        if envelope.kek_version != self._to_version:
            self._seen.setdefault(found.collection, _Seen()).add(found.record_id)

    def ranges(self) -> list[Range]:
        """Return ranges that together cover every collection with envelopes to move.

        A collection with ids of several BSON types has one open range: MongoDB compares ids within their type.
        """
        made = []
        for name, seen in sorted(self._seen.items()):
            count = max(1, min(seen.envelopes // self._stride, RANGES_AT_MOST))
            cuts = _quantiles(seen.ids, count)
            bounds = [None, *cuts, None]
            shares = [seen.envelopes * number // (len(bounds) - 1) for number in range(len(bounds))]
            for number, (low, high) in enumerate(pairwise(bounds)):
                made.append(Range(name, low, high, shares[number + 1] - shares[number]))
        return made


def _quantiles(ids: list[BsonValue], count: int) -> list[BsonValue]:
    """Return up to `count - 1` different ids that part the sample evenly, ascending; none where ids have no order."""
    if len({type(record_id) for record_id in ids}) != 1:
        return []
    try:
        ordered = sorted(ids)
    except TypeError:
        return []
    places = [len(ordered) * number // count for number in range(1, count)]
    cuts: list[BsonValue] = []
    for place in places:
        if ordered[place] > (cuts[-1] if cuts else ordered[0]):
            cuts.append(ordered[place])
    return cuts


def range_of(record_id: BsonValue, ranges: Sequence[Range], lows: list[BsonValue]) -> int | None:
    """Return which of the ranges an id is in, None when it is in none: ranges that others have are holes between them.

    ranges: in ascending order; lows: their low ends, the first one may be open (None). An id of another type than the
    cuts is in a range only where that is the whole collection.
    """
    try:
        place = bisect_right(lows, record_id, lo=1 if lows[0] is None else 0) - 1
        high = ranges[place].high
        return place if place >= 0 and (high is None or record_id < high) else None
    except TypeError:
        return None
