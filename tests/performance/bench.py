# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Measure rotations: a table on standard output, the same in build/bench.json. `make bench` runs it.

    python -m tests.performance.bench [--quick] [--profile] [--only env,long,pkcs11,engine,workers,certificates]

All ratios come from one run on one server (MONGODB_URI, or a server of its own without a sync at each commit).
"""

from __future__ import annotations

import argparse
import cProfile
import json
import os
import platform
import pstats
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from tests.support import database
from tests.support.processes import REPOSITORY

from . import report
from .cases_certificates import certificate_rows
from .cases_env import env_rows, environment
from .cases_hsm import pkcs11_rows, worker_rows
from .cases_long import long_rows
from .cases_migration import migration_rows
from .report import Goal, Row

OUT = REPOSITORY / "build"
PROFILED_LINES = 25
AGAINST_BARE = Goal(False, 3.0, "x bare")


@dataclass(frozen=True)
class Sizes:
    """Envelopes of each case; of a migration records. plain: records without any beside the longest.

    worker_s: for one number of workers.
    """

    env: tuple[int, ...] = (2_000, 8_000, 20_000)
    long: tuple[int, int] = (20_000, 50_000)
    plain: int = 500_000
    pkcs11: tuple[int, ...] = (4_000, 20_000)
    migration: tuple[int, int] = (2_000, 100_000)
    certificates: tuple[int, int] = (1_000, 10_000)
    by_api: int = 1_200
    engine: tuple[int, int] = (10_000, 400_000)
    workers: tuple[int, ...] = (1, 2, 4, 8, 16)
    worker_s: float = 2.0


QUICK = Sizes(
    env=(1_000, 4_000),
    long=(1_000, 2_000),
    plain=10_000,
    pkcs11=(1_000,),
    migration=(1_000, 5_000),
    certificates=(200, 1_000),
    by_api=100,
    engine=(10_000, 100_000),
    workers=(1, 4, 8),
    worker_s=1.5,
)
PROFILED = Sizes(env=(8_000,), engine=(10_000, 50_000))


def main() -> int:
    parser = argparse.ArgumentParser(prog="tests.performance.bench")
    parser.add_argument("--quick", action="store_true", help="small sizes, about a minute")
    parser.add_argument("--profile", action="store_true", help="env at 8,000 and the engine under cProfile instead")
    parser.add_argument(
        "--only", default="env,long,pkcs11,engine,workers,migration,certificates", help="cases, with commas"
    )
    arguments = parser.parse_args()
    OUT.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="bench-") as name:
        if arguments.profile:
            _profile(Path(name))
            return 0
        sizes = QUICK if arguments.quick else Sizes()
        began, load = time.monotonic(), os.getloadavg()[0]
        rows, engine = _measure(Path(name), sizes, set(arguments.only.split(",")))
        seconds = round(time.monotonic() - began, 1)
    facts = {"quick": arguments.quick, "seconds": seconds, "engine": engine, "load_before": load, **_machine()}
    (OUT / "bench.json").write_text(json.dumps(report.document(rows, facts), indent=1) + "\n", encoding="utf-8")
    print(report.table(rows))
    print(f"\n{json.dumps(facts)}")
    return 0


def _measure(folder: Path, sizes: Sizes, cases: set[str]) -> tuple[list[Row], str]:
    with database.running(folder / "server", sync_on_commit=False) as server:
        known: dict[str, Callable[[], list[Row]]] = {
            "env": lambda: env_rows(server, folder, sizes.env, None),
            "long": lambda: long_rows(server, folder, sizes.long, sizes.plain),
            "pkcs11": lambda: pkcs11_rows(server, folder, sizes.pkcs11),
            "engine": lambda: engine_rows(*sizes.engine),
            "migration": lambda: migration_rows(server, folder, sizes.migration),
            "certificates": lambda: certificate_rows(server, folder, sizes.certificates, sizes.by_api),
            "workers": lambda: worker_rows(folder, sizes.workers, sizes.worker_s),
        }
        rows = []
        for case in (name for name in known if name in cases):
            print(f"measuring {case} ...", file=sys.stderr, flush=True)
            rows += known[case]()
        return rows, server.engine


def engine_rows(few: int, many: int) -> list[Row]:
    """Return the rows of the engine without I/O at two sizes; times are CPU times, as another process may be busy."""
    small, large = _engine(few), _engine(many)
    rows = []
    for one in (small, large):
        size, engine_s = one["n"], one["cpu_s"]
        note = f"{engine_s / size * 1e6:.1f} us CPU each; bare {one['bare_s'] / size * 1e6:.1f} us"
        rows += [
            Row("floor: bare re-wraps, 3 calls each", size, one["bare_s"]),
            Row("engine alone", size, engine_s, engine_s / one["bare_s"], AGAINST_BARE, note),
            Row("engine alone, against the calls only", size, engine_s, engine_s / one["calls_s"]),
        ]
    growth = (large["cpu_s"] / large["bare_s"]) / (small["cpu_s"] / small["bare_s"])
    memory = large["peak_kb"] / small["peak_kb"]
    note = f"peak {small['peak_kb'] / 1024:.0f} MB at {few}, {large['peak_kb'] / 1024:.0f} MB at {many}"
    return [
        *rows,
        Row("engine alone: time grows with N", many, large["cpu_s"], growth, Goal(False, 1.1, "x N ratio")),
        Row("engine alone: memory does not", many, large["cpu_s"], memory, Goal(False, 1.1, "x of few"), note),
    ]


def _engine(number: int, *more: str) -> dict[str, Any]:
    command = [sys.executable, "-m", f"{__package__}.engine", str(number), *more]
    ended = subprocess.run(command, env=environment(), capture_output=True, text=True, check=False, cwd=REPOSITORY)
    if ended.returncode:
        raise RuntimeError(ended.stderr)
    found: dict[str, Any] = json.loads(ended.stdout)
    return found


def _profile(folder: Path) -> None:
    """Write build/profile-env.txt and build/profile-engine.txt, by own time and by time with callees."""
    profile = cProfile.Profile()
    with database.running(folder / "server", sync_on_commit=False) as server:
        env_rows(server, folder, PROFILED.env, profile)
    _engine(PROFILED.engine[1], str(folder / "engine.prof"))
    for name, source in (("env", profile), ("engine", str(folder / "engine.prof"))):
        with open(OUT / f"profile-{name}.txt", "w", encoding="utf-8") as out:
            for order in ("tottime", "cumulative"):
                pstats.Stats(source, stream=out).strip_dirs().sort_stats(order).print_stats(PROFILED_LINES)
        print(OUT / f"profile-{name}.txt")


def _machine() -> dict[str, Any]:
    return {
        "date": datetime.now(UTC).date().isoformat(),
        "python": platform.python_version(),
        "system": platform.platform(),
        "cores": os.cpu_count(),
    }


if __name__ == "__main__":
    sys.exit(main())
