# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Rotations of more and more envelopes, and of the most of them beside many records that hold none."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tests.integration.site import Site
from tests.support.database import DatabaseServer

from .cases_env import dropped, env_site, rotated
from .floor import BATCH
from .machine import CpuClock
from .report import Goal, Row

PLAIN = "job_history"
LINEAR = Goal(False, 1.1, "x N ratio")
BESIDE = Goal(False, 1.1, "x without")
INSERTED = 5_000  # records at one time


def long_rows(server: DatabaseServer, folder: Path, sizes: tuple[int, int], plain: int) -> list[Row]:
    """Return how time grows with the envelopes, and what so many plain records beside them cost."""
    clock = CpuClock(server.pid)
    few, many = sizes
    site = env_site(server, folder / f"long{few}", few)
    few_s, _cpu_s = rotated(site, 2, few)
    dropped(site)
    site = env_site(server, folder / f"long{many}", many)
    many_s, _cpu_s = rotated(site, 2, many)
    linear = (many_s / few_s) / (many / few)
    rows = [
        Row("rotate_env", few, few_s),
        Row("rotate_env: time grows with N", many, many_s, linear, LINEAR, doubt=clock.doubt()),
    ]
    rows += _beside(server, site, many, plain, without_s=many_s)
    dropped(site)
    return rows


def _beside(server: DatabaseServer, site: Site, size: int, plain: int, *, without_s: float) -> list[Row]:
    clock = CpuClock(server.pid)
    for documents in _plain_records(plain):
        site.db[PLAIN].insert_many(documents, ordered=False)
    site.add_kek(3)
    site.write()
    read_s = min(_one_read(site) for _time in range(2))
    with_s, _cpu_s = rotated(site, 3, size)
    ratio = (with_s - read_s) / without_s
    note = f"{with_s:.1f} s with them, {without_s:.1f} s without, {read_s:.1f} s for one read of them by pymongo"
    name = f"rotate_env beside {plain} plain records"
    return [Row(name, size, with_s, ratio, BESIDE, note, clock.doubt())]


def _one_read(site: Site) -> float:
    began = time.perf_counter()
    for _document in site.db[PLAIN].find({}, batch_size=BATCH):
        pass
    return time.perf_counter() - began


def _plain_records(count: int) -> Iterator[list[dict[str, Any]]]:
    for start in range(0, count, INSERTED):
        numbers = range(start, min(count, start + INSERTED))
        yield [{"job": f"renewal {number}", "attempt": number % 7, "result": "renewed in time"} for number in numbers]
