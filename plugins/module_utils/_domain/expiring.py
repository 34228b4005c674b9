# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Certificates that run out soon after they were exported, so that somebody looks whether they are renewed. Pure.

WHY not those that are due for renewal: the product does not say in a record when it renews it. What runs out within
WITHIN_DAYS is what the product itself begins to warn of (`cert.expiring.30d`).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from .catalogue import record_id_text
from .instants import rfc3339
from .values import BsonValue, JsonObject

COLLECTION = "certificates"
WITHIN_DAYS = 30
LISTED = 100  # of them, the soonest: the manifest of a bundle is read by people


@dataclass(slots=True)
class Expiring:
    """exported_at: when. count: how many run out in time, those that had run out before among them.

    by_project: the same by id of the project as text, "" for those of none.
    """

    exported_at: datetime
    count: int = 0
    by_project: Counter[str] = field(default_factory=Counter)
    _soonest: list[tuple[datetime, JsonObject]] = field(default_factory=list, repr=False)

    def note(self, certificate: Mapping[str, BsonValue]) -> None:
        """Count a certificate's record, unless it is revoked or does not say when it runs out."""
        not_after = certificate.get("not_after")
        if not isinstance(not_after, datetime) or certificate.get("status") == "revoked":
            return
        if _aware(not_after) > _aware(self.exported_at) + timedelta(days=WITHIN_DAYS):
            return
        self.count += 1
        self.by_project[record_id_text(certificate.get("project_id") or "")] += 1
        told: JsonObject = {
            "id": record_id_text(certificate.get("_id")),
            "name": str(certificate.get("name") or certificate.get("common_name") or ""),
            "project": record_id_text(certificate.get("project_id", "")),
            "not_after": rfc3339(not_after),
        }
        self._soonest.append((_aware(not_after), told))
        if len(self._soonest) > 2 * LISTED:
            self._cut()

    def as_listed(self) -> JsonObject:
        """Return what a manifest says: {within_days, count, by_project, certificates: the soonest LISTED of them}."""
        self._cut()
        soonest = [told for _at, told in self._soonest]
        counts = {"count": self.count, "by_project": dict(sorted(self.by_project.items()))}
        return {"within_days": WITHIN_DAYS, **counts, "certificates": soonest}

    def _cut(self) -> None:
        self._soonest.sort(key=lambda one: one[0])
        del self._soonest[LISTED:]


def _aware(instant: datetime) -> datetime:
    """Return an instant in UTC; naive ones are, as BSON stores them."""
    return instant.replace(tzinfo=UTC) if instant.tzinfo is None else instant
