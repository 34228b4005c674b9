# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The engine alone: Rewrapper over a store in memory, no I/O. One size for each process, for peaks never go down.

    python -m tests.performance.engine N [PROFILE_FILE]     prints JSON: {n, cpu_s, bare_s, calls_s, wall_s, peak_kb}

cpu_s: the engine, from decoded documents to the driver's updates. bare_s: what anybody needs to re-wrap the same wraps.
calls_s: its three AES-GCM calls and nothing else. All three are taken batch by batch in turn, in one process, so that
whatever slows one down slows all. Documents come as BSON that is decoded as they are asked for, as a cursor does it;
that is not counted.
"""

from __future__ import annotations

import cProfile
import hmac
import json
import os
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from itertools import cycle, islice
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import bson
from ansible_collections.certautopilot.ops.plugins.module_utils._domain import envelope_layout
from ansible_collections.certautopilot.ops.plugins.module_utils._domain.catalogue import Catalogue
from ansible_collections.certautopilot.ops.plugins.module_utils._domain.rotation import Plan
from ansible_collections.certautopilot.ops.plugins.module_utils._installation.sealing import Sealing
from ansible_collections.certautopilot.ops.plugins.module_utils._keys.env import EnvProvider
from ansible_collections.certautopilot.ops.plugins.module_utils._rotation.batch import Rewrapper
from ansible_collections.certautopilot.ops.plugins.module_utils._rotation.pipeline import rare_collections
from ansible_collections.certautopilot.ops.plugins.module_utils._store import records
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from tests.support.sealed import credential

BATCH = 500
PLAN = Plan(2, (1,), compromised=False, active=1, envelopes={}, catalogue="")
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


class Bare:
    """The same wraps without the collection: cached ciphers, AAD of 32 bytes. bare_s, calls_s: CPU seconds so far."""

    def __init__(self, keks: dict[int, bytes]) -> None:
        self._old, self._new = AESGCM(keks[1]), AESGCM(keks[2])
        self._aad = os.urandom(32)
        self.bare_s = 0.0
        self.calls_s = 0.0

    def measure(self, count: int) -> None:
        """Re-wrap so many wraps of fresh data keys, in both ways."""
        fresh = [os.urandom(12) for _wrap in range(count)]
        wraps = [iv + self._old.encrypt(iv, os.urandom(32), self._aad) for iv in fresh]
        apart = [(wrap[:12], wrap[12:]) for wrap in wraps]
        self.bare_s += _cpu_of(lambda: self._rewrapped(wraps))
        self.calls_s += _cpu_of(lambda: self._three_calls(apart, fresh))

    def _rewrapped(self, wraps: Sequence[bytes]) -> list[bytes]:
        """Take each wrap apart, open it, draw an IV, wrap, open again to prove, compare, keep."""
        old, new, aad, made = self._old, self._new, self._aad, []
        for wrap in wraps:
            dek = old.decrypt(wrap[:12], wrap[12:], aad)
            iv = os.urandom(12)
            sealed = new.encrypt(iv, dek, aad)
            if not hmac.compare_digest(new.decrypt(iv, sealed, aad), dek):
                raise RuntimeError("a wrap opened to another data key")
            made.append(iv + sealed)
        return made

    def _three_calls(self, apart: Sequence[tuple[bytes, bytes]], fresh: Sequence[bytes]) -> None:
        old, new, aad = self._old, self._new, self._aad
        for (iv, sealed), drawn in zip(apart, fresh, strict=True):
            new.decrypt(drawn, new.encrypt(drawn, old.decrypt(iv, sealed, aad), aad), aad)


def _cpu_of(call: Callable[[], object]) -> float:
    began = time.process_time()
    call()
    return time.process_time() - began


def main() -> None:
    number = int(sys.argv[1])
    profile = cProfile.Profile() if len(sys.argv) > 2 else None
    with rare_collections():  # as the stream of a rotation has it
        print(json.dumps(_measure(number, profile)))
    if profile is not None:
        profile.dump_stats(Path(sys.argv[2]))


def _measure(number: int, profile: cProfile.Profile | None) -> dict[str, Any]:
    keks = {1: os.urandom(32), 2: os.urandom(32)}
    pool = [bson.encode(credential(keks[1], b"x" * 40)) for _number in range(POOL)]
    store = MemoryStore()
    rewrapper = Rewrapper(store, Sealing(EnvProvider(keks), envelope_layout.DEFAULT), Catalogue(), PLAN)  # type: ignore[arg-type]
    bare = Bare(keks)
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
        bare.measure(len(batch))
    if (moved, store.matched) != (number, number):
        raise RuntimeError(f"the engine moved {moved} envelopes and wrote {store.matched}, expected {number}")
    spent = {"cpu_s": cpu_s, "bare_s": bare.bare_s, "calls_s": bare.calls_s, "wall_s": wall_s}
    return {"n": number, **spent, "peak_kb": _peak_kb()}


def _stream(pool: list[bytes], number: int) -> Iterator[dict[str, Any]]:
    for raw in islice(cycle(pool), number):
        yield bson.decode(raw)


def _peak_kb() -> int:
    """Return this program's peak. WHY not getrusage: its figure is inherited from the process that started us."""
    status = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    return int(next(line for line in status if line.startswith("VmHWM:")).split()[1])


if __name__ == "__main__":
    main()
