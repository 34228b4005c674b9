# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The floor of a rotation: the same compare-and-set updates, prepared beforehand, and one read of the same documents.

Nothing of plugins/ is used: this is what pymongo and the server need, whoever asks.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Sequence
from typing import Any

import pymongo

from .machine import CpuClock

BATCH = 500  # documents of one read and of one bulk_write, as in a rotation
COLLECTION = "dns_credentials"
FIELD = "encrypted_api_key"
WRAP_LENGTH = 60  # bytes
STEADY = 1.2  # how much faster one half may be before a comparison of wall times means nothing


class Floor:
    """Documents of its own beside those of the rotation, on the same server.

    Half of it is measured before and half after the rotation, so that a server which grows slower is fair to both, and
    so that a machine with other work to do is noticed: then the halves differ. cpu_s: of the server and this process.
    """

    def __init__(self, client: Any, database: str, documents: Sequence[dict[str, Any]], clock: CpuClock) -> None:
        self._client = client
        self._name = f"{database}_floor"
        concern = pymongo.WriteConcern(w="majority", j=True)
        self._collection = client[self._name].get_collection(COLLECTION, write_concern=concern)
        self._collection.insert_many(documents, ordered=False)
        self._updates = [_update(document) for document in sorted(documents, key=lambda one: one["_id"])]
        self._half = len(documents) // 2 // BATCH * BATCH or len(documents)
        self._clock = clock
        self._rates: list[float] = []
        self.wall_s = 0.0
        self.cpu_s = 0.0

    def first_half(self) -> None:
        self._send(self._updates[: self._half])

    def second_half(self) -> None:
        """Send the rest, read everything once, and drop the documents."""
        self._send(self._updates[self._half :])
        began, cpu = time.perf_counter(), self._clock.spent()
        for _document in self._collection.find({}, batch_size=BATCH).sort("_id", 1):
            pass
        self.wall_s += time.perf_counter() - began
        self.cpu_s += self._clock.spent() - cpu
        self._client.drop_database(self._name)

    def doubt(self, wall_s: float) -> str:
        """Return why a ratio of wall times to this floor cannot be judged, "" when it can. wall_s: the rotation's."""
        slow, fast = min(self._rates), max(self._rates)
        if fast > STEADY * slow:
            return f"not counted: the floor itself ran at {slow:.0f} and {fast:.0f} /s"
        if wall_s < self.wall_s:
            return "not counted: faster than its floor, which it contains"
        return self._clock.doubt()

    def _send(self, updates: Sequence[pymongo.UpdateOne]) -> None:
        if not updates:
            return
        began, cpu = time.perf_counter(), self._clock.spent()
        matched = sum(self._collection.bulk_write(part, ordered=False).matched_count for part in _parts(updates))
        spent = time.perf_counter() - began
        self.wall_s += spent
        self.cpu_s += self._clock.spent() - cpu
        self._rates.append(len(updates) / spent)
        if matched != len(updates):
            raise RuntimeError(f"the floor matched {matched} documents of {len(updates)}")


def _update(document: dict[str, Any]) -> pymongo.UpdateOne:
    sealed = document[FIELD]
    expected = {"kek_version": 1, f"{FIELD}.wrapped_dek": sealed["wrapped_dek"], f"{FIELD}.kek_version": 1}
    assign = {"kek_version": 2, f"{FIELD}.wrapped_dek": os.urandom(WRAP_LENGTH), f"{FIELD}.kek_version": 2}
    return pymongo.UpdateOne({"_id": document["_id"], **expected}, {"$set": {**assign, f"{FIELD}.kv": 2}})


def _parts(updates: Sequence[pymongo.UpdateOne]) -> Iterator[list[pymongo.UpdateOne]]:
    for start in range(0, len(updates), BATCH):
        yield list(updates[start : start + BATCH])
