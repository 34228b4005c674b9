# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a heartbeat says of a process, and after how many seconds without one a process counts as dead. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from .values import JsonObject

LIVE_FOR_S = 120  # after the last heartbeat, by the database server's clock; vendor's fleet-readiness page


@dataclass(frozen=True, slots=True)
class Process:
    """One process of the product as its heartbeat tells it. live: its last heartbeat is at most 120 s old.

    loaded_versions: it can open. current_version: it writes with, None where it does not tell. proofs: version, as
    text -> HMAC. updated_at: RFC 3339, "unknown" where the record has no time.
    """

    id: str
    live: bool
    loaded_versions: tuple[int, ...] = ()
    current_version: int | None = None
    proofs: Mapping[str, str] = field(default_factory=dict)
    hostname: str | None = None
    pid: int | None = None
    role: str | None = None
    provider: str | None = None
    updated_at: str = "unknown"

    def as_result(self) -> JsonObject:
        """Return the process as modules show it; its proofs only as the versions that they are for."""
        return {
            "id": self.id,
            "hostname": self.hostname,
            "pid": self.pid,
            "role": self.role,
            "provider": self.provider,
            "loaded_versions": list(self.loaded_versions),
            "current_version": self.current_version,
            "updated_at": self.updated_at,
            "live": self.live,
            "proofs_for": sorted(self.proofs),
        }


@dataclass(frozen=True, slots=True)
class Fleet:
    """All processes that ever wrote a heartbeat, by id. newest_heartbeat: ISO 8601 with milliseconds, "" for none."""

    processes: tuple[Process, ...]
    newest_heartbeat: str

    @property
    def live(self) -> tuple[Process, ...]:
        return tuple(process for process in self.processes if process.live)

    def as_result(self) -> JsonObject:
        return {
            "live": len(self.live),
            "newest_heartbeat": self.newest_heartbeat,
            "processes": [process.as_result() for process in self.processes],
        }
