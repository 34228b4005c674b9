# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Writers and readers that work on a live installation and keep a log a test can judge by.

SIGTERM ends their work early as the end of their time would: nothing is cut off, logs are written. Exit status
1 when a worker could not do its work, so that a test cannot pass on what was never tried.
"""

from __future__ import annotations

import hashlib
import json
import random
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from bson import ObjectId
from pymongo.errors import PyMongoError

from .config import Config
from .registry import Registry, connect

COLLECTION, FIELD = "dns_credentials", "encrypted_api_key"
RETRY_S = 0.2
_ended = threading.Event()


def write(config: Config, *, seconds: float, rate: float, threads: int, log_file: Path, reload_s: float) -> None:
    """Create and update credentials; log each write the server acknowledged: {id, sha256, sequence, version}.

    A write without an answer may or may not be there; the same lines of those go to `<log>.unanswered`, and the writer
    goes on with other records. Per id the line with the highest sequence counts.
    """
    registry = Registry(config, connect(config))
    guard = threading.Lock()
    unanswered_file = log_file.with_name(log_file.name + ".unanswered")
    with log_file.open("a") as log, unanswered_file.open("a") as unanswered:

        def work(number: int) -> None:
            mine: list[ObjectId] = []
            rng = random.Random(number)
            for sequence in _ticks(registry, seconds, rate / threads, reload_s):
                plaintext = f"writer {number} sequence {sequence}".encode()
                update = bool(mine) and rng.random() < 0.5
                record_id = rng.choice(mine) if update else ObjectId()
                envelope = registry.seal(record_id, FIELD, plaintext)
                fields = {FIELD: envelope, "kek_version": envelope["kek_version"], "name": f"load {number}"}
                entry = {"id": str(record_id), "sha256": hashlib.sha256(plaintext).hexdigest(), "sequence": sequence}
                answered = _update(registry, record_id, fields)
                if answered and not update:
                    mine.append(record_id)
                elif not answered and update:
                    mine.remove(record_id)
                with guard:
                    target = log if answered else unanswered
                    target.write(json.dumps({**entry, "version": envelope["kek_version"]}) + "\n")
                    target.flush()

        _together(work, threads)


def read(config: Config, *, seconds: float, rate: float, threads: int, log_file: Path, reload_s: float) -> None:
    """Open random credentials; log {opened, failed} at the end. A record that is gone or not answered is a failure."""
    registry = Registry(config, connect(config))
    counts = {"opened": 0, "failed": 0}
    guard = threading.Lock()
    ids = [document["_id"] for document in registry.db[COLLECTION].find({}, {"_id": 1})]
    if not ids:
        raise SystemExit(f"error: {COLLECTION} holds nothing to read")

    def work(number: int) -> None:
        rng = random.Random(number)
        for _sequence in _ticks(registry, seconds, rate / threads, reload_s):
            try:
                document = registry.db[COLLECTION].find_one({"_id": rng.choice(ids)})
                registry.open(document["_id"], FIELD, document[FIELD])
                outcome = "opened"
            except Exception:  # noqa: BLE001 - every failed read counts, whatever its cause
                outcome = "failed"
            with guard:
                counts[outcome] += 1

    _together(work, threads)
    log_file.write_text(json.dumps(counts) + "\n")


def _update(registry: Registry, record_id: ObjectId, fields: dict[str, Any]) -> bool:
    """Return whether the server acknowledged the write."""
    try:
        registry.db[COLLECTION].update_one({"_id": record_id}, {"$set": fields}, upsert=True)
    except PyMongoError:
        time.sleep(RETRY_S)
        return False
    return True


def _ticks(registry: Registry, seconds: float, rate: float, reload_s: float) -> Iterator[int]:
    """Yield sequence numbers at the rate until the time is over; hot reload on the way."""
    end, next_reload, sequence = time.monotonic() + seconds, time.monotonic() + reload_s, 0
    while (now := time.monotonic()) < end and not _ended.is_set():
        if now >= next_reload:
            _reload(registry)
            next_reload = now + reload_s
        yield sequence
        sequence += 1
        _ended.wait(max(0.0, 1 / rate - (time.monotonic() - now)))


def _reload(registry: Registry) -> None:
    try:
        registry.reload()
    except (SystemExit, PyMongoError) as failure:
        print(f"not reloaded: {failure}", file=sys.stderr, flush=True)


def _together(work: Callable[[int], None], threads: int) -> None:
    """Run `work(0)` … `work(threads - 1)` at once. Raises SystemExit when one of them ended with an exception."""
    failures: list[str] = []
    signal.signal(signal.SIGTERM, lambda *_ignored: _ended.set())

    def guarded(number: int) -> None:
        try:
            work(number)
        except Exception as failure:  # noqa: BLE001 - said below, by the main thread
            failures.append(f"thread {number}: {type(failure).__name__}: {failure}")

    running = [threading.Thread(target=guarded, args=(number,)) for number in range(threads)]
    for thread in running:
        thread.start()
    for thread in running:
        thread.join()
    if failures:
        raise SystemExit("error: " + "; ".join(failures))
