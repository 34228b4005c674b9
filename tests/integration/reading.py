# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a verb really asked the server: every command it sent, counted by the driver's own monitoring.

`watched(monkeypatch)` returns a Reads that fills while verbs run in this process.
"""

from __future__ import annotations

from collections import Counter
from typing import Any

import bson
import pymongo
import pymongo.monitoring

READING = ("find", "aggregate", "count", "distinct")


class Reads(pymongo.monitoring.CommandListener):
    """whole: collection -> reads that could return all of it. limited: those with a limit.

    looked_up: ids asked for by `$in`. documents: how many came.
    """

    def __init__(self) -> None:
        self.forget()
        self._asked: dict[int, str] = {}

    def forget(self) -> None:
        self.whole: Counter[str] = Counter()
        self.limited: Counter[str] = Counter()
        self.looked_up: Counter[str] = Counter()
        self.documents: Counter[str] = Counter()

    def started(self, event: Any) -> None:
        name, command = event.command_name, event.command
        if name in READING:
            collection = command[name]
            self._asked[event.request_id] = collection
            wanted = (command.get("filter") or {}).get("_id")
            if isinstance(wanted, dict) and "$in" in wanted:
                self.looked_up[collection] += len(wanted["$in"])
            elif command.get("limit"):
                self.limited[collection] += 1
            elif wanted is None:
                self.whole[collection] += 1
        elif name == "getMore":
            self._asked[event.request_id] = command["collection"]

    def succeeded(self, event: Any) -> None:
        collection = self._asked.pop(event.request_id, None)
        if collection is not None:
            cursor = event.reply.get("cursor", {})
            came = [*cursor.get("firstBatch", ()), *cursor.get("nextBatch", ())]
            self.documents[collection] += sum(_documents_in(part) for part in came)

    def failed(self, event: Any) -> None:
        self._asked.pop(event.request_id, None)


def _documents_in(part: Any) -> int:
    """A part is one document, or, where a batch is left undecoded, the bytes of all of them."""
    return len(bson.decode_all(part)) if isinstance(part, bytes) else 1


def watched(monkeypatch: Any) -> Reads:
    """Return a listener that hears every client made from now on."""
    reads, client = Reads(), pymongo.MongoClient
    monkeypatch.setattr(pymongo, "MongoClient", lambda *a, **k: client(*a, **{**k, "event_listeners": [reads]}))
    return reads
