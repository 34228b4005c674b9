# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A survey: every document of every collection walked once, every envelope counted, every oddity named.

Read only. Memory is bounded: counts, a small sample, and capped lists of places.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from .._domain.catalogue import Catalogue, Found, outside_catalogue
from .._domain.envelope import Envelope, parse
from .._domain.errors import OpsError
from .._store import records
from .._store.connection import Store

SAMPLE_PER_FIELD = 4
LISTED_AT_MOST = 1000


@dataclass(slots=True)
class Survey:
    """What a database holds. by_field: "collection.path" -> count. anomalies: {place, code, reason}."""

    documents: int = 0
    total: int = 0
    by_version: Counter[int] = field(default_factory=Counter)
    by_field: Counter[str] = field(default_factory=Counter)
    by_provider: Counter[str] = field(default_factory=Counter)
    by_collection: Counter[str] = field(default_factory=Counter)
    outside: list[str] = field(default_factory=list)
    anomalies: list[dict[str, str]] = field(default_factory=list)
    sample: list[tuple[Found, Envelope]] = field(default_factory=list)

    def require_catalogued(self) -> None:
        """Raises OpsError catalogue.outside when an envelope stands where nobody listed one (T4)."""
        if self.outside:
            raise outside_catalogue(self.outside)

    def as_result(self) -> dict[str, Any]:
        return {
            "total": self.total,
            "by_version": {str(version): count for version, count in sorted(self.by_version.items())},
            "by_field": [{"field": name, "count": count} for name, count in sorted(self.by_field.items())],
            "outside_catalogue": list(self.outside),
            "anomalies": list(self.anomalies),
        }


def take(store: Store, catalogue: Catalogue, *, each: Callable[[Found, Envelope], None] | None = None) -> Survey:
    """Return the survey of a database. each: called with every well-formed envelope."""
    survey = Survey()
    for collection in records.data_collections(store):
        for document in records.scan(store, collection):
            survey.documents += 1
            survey.by_collection[collection] += 1
            for found in catalogue.envelopes(collection, document):
                _note(survey, catalogue, found, document.get("kek_version"), each)
    return survey


def _note(
    survey: Survey, catalogue: Catalogue, found: Found, outer: Any, each: Callable[[Found, Envelope], None] | None
) -> None:
    survey.total += 1
    name = f"{found.collection}.{found.field}"
    survey.by_field[name] += 1
    if not catalogue.knows(found) and len(survey.outside) < LISTED_AT_MOST:
        survey.outside.append(found.place)
    try:
        envelope = parse(found.value, outer_version=outer)
    except OpsError as refusal:
        if len(survey.anomalies) < LISTED_AT_MOST:
            survey.anomalies.append({"place": found.place, "code": refusal.code, "reason": refusal.message})
        return
    survey.by_version[envelope.kek_version] += 1
    survey.by_provider[envelope.provider] += 1
    if survey.by_field[name] <= SAMPLE_PER_FIELD:
        survey.sample.append((found, envelope))
    if each is not None:
        each(found, envelope)
