# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a client asked the server for, as pymongo tells it: for tests that count reads and writes instead of timing."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import pymongo.monitoring

WRITING = frozenset({"insert", "update", "delete", "findAndModify", "bulkWrite"})


@dataclass
class Asked(pymongo.monitoring.CommandListener):
    """commands: name, collection and filter of each command, in the order in which they were sent."""

    commands: list[tuple[str, str, dict[str, Any]]] = field(default_factory=list)

    def started(self, event: pymongo.monitoring.CommandStartedEvent) -> None:
        name = event.command_name
        self.commands.append((name, str(event.command[name]), dict(event.command.get("filter") or {})))

    def succeeded(self, event: pymongo.monitoring.CommandSucceededEvent) -> None:
        pass

    def failed(self, event: pymongo.monitoring.CommandFailedEvent) -> None:
        pass

    def walks(self, collection: str) -> int:
        """Return how often a collection was read without a condition."""
        return sum((name, where, bool(by)) == ("find", collection, False) for name, where, by in self.commands)

    def writes(self) -> list[str]:
        """Return the collections that were written to, one for each command."""
        return [where for name, where, _by in self.commands if name in WRITING]


@contextmanager
def asked() -> Iterator[Asked]:
    """Yield what is asked by every client that this process makes in the block."""
    listeners = pymongo.monitoring._LISTENERS
    before, listener = list(listeners.command_listeners), Asked()
    pymongo.monitoring.register(listener)
    try:
        yield listener
    finally:
        listeners.command_listeners[:] = before
