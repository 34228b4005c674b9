# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Writers and readers that work on a live installation and keep a log a test can judge by."""

from __future__ import annotations

import hashlib
import json
import random
import threading
import time
from pathlib import Path
from typing import Any

from bson import ObjectId

from .config import Config
from .registry import Registry, connect

COLLECTION, FIELD = "dns_credentials", "encrypted_api_key"


def write(config: Config, *, seconds: float, rate: float, threads: int, log_file: Path, reload_s: float) -> None:
    """Create and update credentials; log each write the server acknowledged: {id, sha256, version}."""
    with log_file.open("a") as log:
        guard = threading.Lock()

        def work(number: int) -> None:
            registry = Registry(config, connect(config))
            mine: list[ObjectId] = []
            rng = random.Random(number)
            for sequence in _ticks(registry, seconds, rate / threads, reload_s):
                plaintext = f"writer {number} sequence {sequence}".encode()
                update = bool(mine) and rng.random() < 0.5
                record_id = rng.choice(mine) if update else ObjectId()
                envelope = registry.seal(record_id, FIELD, plaintext)
                fields = {FIELD: envelope, "kek_version": envelope["kek_version"], "name": f"load {number}"}
                registry.db[COLLECTION].update_one({"_id": record_id}, {"$set": fields}, upsert=True)
                if not update:
                    mine.append(record_id)
                entry = {"id": str(record_id), "sha256": hashlib.sha256(plaintext).hexdigest(), "sequence": sequence}
                with guard:
                    log.write(json.dumps({**entry, "version": envelope["kek_version"]}) + "\n")
                    log.flush()

        _together(work, threads)


def read(config: Config, *, seconds: float, rate: float, threads: int, log_file: Path, reload_s: float) -> None:
    """Open random credentials; log {opened, failed} at the end."""
    counts = {"opened": 0, "failed": 0}
    guard = threading.Lock()

    def work(number: int) -> None:
        registry = Registry(config, connect(config))
        rng = random.Random(number)
        ids = [document["_id"] for document in registry.db[COLLECTION].find({}, {"_id": 1})]
        for _sequence in _ticks(registry, seconds, rate / threads, reload_s):
            document = registry.db[COLLECTION].find_one({"_id": rng.choice(ids)})
            try:
                registry.open(document["_id"], FIELD, document[FIELD])
                outcome = "opened"
            except Exception:  # noqa: BLE001 - every failed read counts, whatever its cause
                outcome = "failed"
            with guard:
                counts[outcome] += 1

    _together(work, threads)
    log_file.write_text(json.dumps(counts) + "\n")


def _ticks(registry: Registry, seconds: float, rate: float, reload_s: float) -> Any:
    """Yield sequence numbers at the rate until the time is over; hot reload on the way."""
    end, next_reload, sequence = time.monotonic() + seconds, time.monotonic() + reload_s, 0
    while (now := time.monotonic()) < end:
        if now >= next_reload:
            registry.reload()
            next_reload = now + reload_s
        yield sequence
        sequence += 1
        time.sleep(max(0.0, 1 / rate - (time.monotonic() - now)))


def _together(work: Any, threads: int) -> None:
    running = [threading.Thread(target=work, args=(number,)) for number in range(threads)]
    for thread in running:
        thread.start()
    for thread in running:
        thread.join()
