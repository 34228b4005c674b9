# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The fleet: which processes of the product live, by the server's clock and their last heartbeat.

A record's presence proves nothing, for the server's TTL monitor runs late: its time does.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from .._domain.instants import rfc3339
from .connection import Store, driver_errors

COLLECTION = "process_heartbeats"
DEAD_AFTER_S = 120  # vendor's fleet-readiness page


def read(store: Store) -> dict[str, Any]:
    """Return {live, newest_heartbeat, processes: [{id, hostname, pid, role, live, ...}]}, JSON-clean."""
    now = store.server_time()
    with driver_errors(store):
        documents = list(store.collection(COLLECTION).find())
    processes = [_process(document, now) for document in documents]
    beats = [d["updated_at"] for d in documents if isinstance(d.get("updated_at"), datetime)]
    return {
        "live": sum(process["live"] for process in processes),
        "newest_heartbeat": max(beats).isoformat(timespec="milliseconds") + "Z" if beats else "",
        "processes": sorted(processes, key=lambda process: process["id"]),
    }


def _process(document: dict[str, Any], now: datetime) -> dict[str, Any]:
    beat = document.get("updated_at")
    return {
        "id": str(document.get("_id")),
        "hostname": document.get("hostname"),
        "pid": document.get("pid"),
        "role": document.get("role"),
        "provider": document.get("provider"),
        "loaded_versions": list(document.get("loaded_versions") or []),
        "current_version": document.get("current_version"),
        "proofs": {str(k): str(v) for k, v in dict(document.get("proofs") or {}).items()},
        "updated_at": rfc3339(beat),
        "live": isinstance(beat, datetime) and now - beat < timedelta(seconds=DEAD_AFTER_S),
    }
