# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The fleet: which processes of the product live, by the server's clock and their last heartbeat.

That a record is there proves nothing, because the server's TTL monitor runs late: its time does.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from .._domain.heartbeat import LIVE_FOR_S, Fleet, Process
from .._domain.instants import rfc3339
from .._domain.values import BsonValue, Document
from .connection import Store, driver_errors

COLLECTION = "process_heartbeats"


def read(store: Store) -> Fleet:
    """Return the fleet as it is now."""
    now = store.server_time()
    with driver_errors(store):
        documents = list(store.collection(COLLECTION).find())
    beats = [d["updated_at"] for d in documents if isinstance(d.get("updated_at"), datetime)]
    return Fleet(
        processes=tuple(sorted((_process(document, now) for document in documents), key=lambda process: process.id)),
        newest_heartbeat=max(beats).isoformat(timespec="milliseconds") + "Z" if beats else "",
    )


def _process(document: Document, now: datetime) -> Process:
    beat = document.get("updated_at")
    return Process(
        id=str(document.get("_id")),
        live=isinstance(beat, datetime) and now - beat <= timedelta(seconds=LIVE_FOR_S),
        loaded_versions=tuple(v for v in document.get("loaded_versions") or [] if isinstance(v, int)),
        current_version=_whole(document.get("current_version")),
        proofs={str(k): str(v) for k, v in dict(document.get("proofs") or {}).items()},
        hostname=_text(document.get("hostname")),
        pid=_whole(document.get("pid")),
        role=_text(document.get("role")),
        provider=_text(document.get("provider")),
        updated_at=rfc3339(beat),
    )


def _whole(value: BsonValue) -> int | None:
    return value if isinstance(value, int) else None


def _text(value: BsonValue) -> str | None:
    return None if value is None else str(value)
