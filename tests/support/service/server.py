# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One process of the product: start-up checks, indexes, heartbeats with hot reload, HTTP on loopback."""

from __future__ import annotations

import os
import signal
import sys
import threading
from datetime import datetime
from pathlib import Path
from typing import Any

from .api import serve_http
from .config import Config
from .registry import Registry, connect

END_S = 1.5  # seconds from SIGTERM to the end, whatever the process is waiting for


def serve(config: Config, *, mode: str, interval_s: float, pid_file: Path | None) -> None:
    """Run until SIGTERM. Raises SystemExit with the reason when a start-up check fails."""
    db = connect(config)
    registry = Registry(config, db)
    make_indexes(db)
    ended = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_ignored: _end(ended, pid_file))
    started = db.client.admin.command("hello")["localTime"]
    beat(db, registry, mode, started)
    server = serve_http(registry) if mode in ("api", "all") else None
    if pid_file is not None:
        pid_file.write_text(f"{os.getpid()}\n")
    print(f"certautopilot: provider {config.provider}, active version {registry.active}, mode {mode}", flush=True)
    try:
        while not ended.wait(interval_s):
            try:
                registry.reload()
                beat(db, registry, mode, started)
            except SystemExit as refusal:  # a row that came later and whose key is wrong: /readyz says so, if active
                print(f"not reloaded: {refusal}", file=sys.stderr, flush=True)
            except Exception as failure:  # noqa: BLE001 - a missed beat must not end the service
                print(f"heartbeat failed: {type(failure).__name__}", file=sys.stderr, flush=True)
    finally:
        if server is not None:
            server.shutdown()
        if pid_file is not None:
            pid_file.unlink(missing_ok=True)


def _end(ended: threading.Event, pid_file: Path | None) -> None:
    """Ask the main loop to end, and end without it when it hangs: a dead database keeps the driver busy for long."""

    def insist() -> None:
        if pid_file is not None:
            pid_file.unlink(missing_ok=True)
        os._exit(0)

    ended.set()
    timer = threading.Timer(END_S, insist)
    timer.daemon = True
    timer.start()


def beat(db: Any, registry: Registry, mode: str, started: datetime) -> None:
    """Write this process's heartbeat with the server's time. It is not removed at the end: the TTL index does that."""
    host = os.uname().nodename
    fields = {
        "hostname": host, "pid": os.getpid(), "role": mode, "provider": registry.config.provider,
        "loaded_versions": sorted(registry.keks), "current_version": registry.active, "started_at": started,
        "proofs": registry.proofs(f"{host}:{os.getpid()}"),
    }  # fmt: skip
    change = {**{name: {"$literal": value} for name, value in fields.items()}, "updated_at": "$$NOW"}
    db.process_heartbeats.update_one({"_id": f"{host}:{os.getpid()}"}, [{"$set": change}], upsert=True)


def make_indexes(db: Any) -> None:
    """Create what the product creates at start; harmless when it is there."""
    db.process_heartbeats.create_index("updated_at", expireAfterSeconds=120)
    db.certificates.create_index([("project_id", 1), ("_id", 1)])
    db.certificate_private_keys.create_index("certificate_id")
    db.projects.create_index("slug", unique=True)
    db.api_keys.create_index("hash", unique=True)
