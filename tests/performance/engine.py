# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The engine alone: Rewrapper over a store in memory, no I/O. One size for each process, for peaks never go down.

    python -m tests.performance.engine N [PROFILE_FILE]     prints JSON: {n, cpu_s, wall_s, peak_kb}

Documents come as BSON that is decoded as they are asked for, as a cursor does it; that is not counted.
"""

from __future__ import annotations

import cProfile
import json
import os
import sys
import time
from collections.abc import Iterator
from itertools import cycle, islice
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import bson
from ansible_collections.certautopilot.ops.plugins.module_utils._domain import envelope_layout
from ansible_collections.certautopilot.ops.plugins.module_utils._domain.catalogue import Catalogue
from ansible_collections.certautopilot.ops.plugins.module_utils._installation.sealing import Sealing
from ansible_collections.certautopilot.ops.plugins.module_utils._keys.env import EnvProvider
from ansible_collections.certautopilot.ops.plugins.module_utils._rotation.batch import Rewrapper
from ansible_collections.certautopilot.ops.plugins.module_utils._store import records

from tests.support.sealed import credential

BATCH = 500
POOL = 2000  # documents that are decoded again and again


class MemoryStore:
    """What Rewrapper needs of a store: every expectation holds. matched: writes that arrived."""

    name, hosts = "memory", "nowhere"

    def __init__(self) -> None:
        self.matched = 0

    def collection(self, _name: str, **_options: Any) -> MemoryStore:
        return self

    def bulk_write(self, writes: list[Any], **_options: Any) -> Any:
        self.matched += len(writes)
        return SimpleNamespace(matched_count=len(writes))


def main() -> None:
    number = int(sys.argv[1])
    profile = cProfile.Profile() if len(sys.argv) > 2 else None
    print(json.dumps(_measure(number, profile)))
    if profile is not None:
        profile.dump_stats(Path(sys.argv[2]))


def _measure(number: int, profile: cProfile.Profile | None) -> dict[str, Any]:
    keks = {1: os.urandom(32), 2: os.urandom(32)}
    pool = [bson.encode(credential(keks[1], b"x" * 40)) for _number in range(POOL)]
    store = MemoryStore()
    rewrapper = Rewrapper(store, Sealing(EnvProvider(keks), envelope_layout.DEFAULT), Catalogue(), 2)  # type: ignore[arg-type]
    moved, cpu_s, wall_s = 0, 0.0, 0.0
    for batch in records.batches(_stream(pool, number), BATCH):
        wall, cpu = time.perf_counter(), time.process_time()
        if profile is not None:
            profile.enable()
        moved += rewrapper.move("dns_credentials", batch).rewrapped
        if profile is not None:
            profile.disable()
        cpu_s += time.process_time() - cpu
        wall_s += time.perf_counter() - wall
    if (moved, store.matched) != (number, number):
        raise RuntimeError(f"the engine moved {moved} envelopes and wrote {store.matched}, expected {number}")
    return {"n": number, "cpu_s": cpu_s, "wall_s": wall_s, "peak_kb": _peak_kb()}


def _stream(pool: list[bytes], number: int) -> Iterator[dict[str, Any]]:
    for raw in islice(cycle(pool), number):
        yield bson.decode(raw)


def _peak_kb() -> int:
    """Return this program's peak. WHY not getrusage: its figure is inherited from the process that started us."""
    status = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    return int(next(line for line in status if line.startswith("VmHWM:")).split()[1])


if __name__ == "__main__":
    main()
