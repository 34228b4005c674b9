# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Run make targets one after the other, to the last one, then say which failed and how long each took.

    python .ci/steps.py ruff mypy … unit … 'molecule-some&' … integration

One with an & runs beside the ones after it, until one of ALONE; what it prints is shown when it has ended.

Exit status 0 only if every step ended with 0 and every step that promises tests (REPORTS) really ran some:
the counts are read from the JUnit reports that pytest wrote during this very run.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
import xml.etree.ElementTree as ET  # nosec: the files read here are written by our own pytest
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

ROOT = Path(__file__).resolve().parent.parent

# step -> the report it must leave behind, with at least one test that ran
REPORTS = {
    "unit": ROOT / ".build" / "reports" / "unit.xml",
    "models": ROOT / ".build" / "reports" / "models.xml",
    "integration": ROOT / ".build" / "reports" / "integration.xml",
    "test-slow": ROOT / ".build" / "reports" / "slow.xml",
}


# What must not have anything beside it: both cores are busy, and some of its tests look at the clock.
ALONE = frozenset({"integration", "test-slow"})


@dataclass(frozen=True)
class Counts:
    """What a JUnit report says; `run` leaves out what was skipped."""

    run: int = 0
    failed: int = 0
    skipped: int = 0


@dataclass(frozen=True)
class Outcome:
    step: str
    seconds: float
    trouble: str  # empty = all is well
    counts: Counts


def main(steps: list[str]) -> int:
    """Run all steps and print the summary."""
    began = time.monotonic()
    outcomes = run_all(steps)
    counts = [outcome.counts for outcome in outcomes]
    print("\n==== summary " + "=" * 67)
    for one in outcomes:
        tests = f"  {one.counts.run} tests" if one.step in REPORTS else ""
        print(f"{'FAIL' if one.trouble else 'ok':6}{one.step:16}{one.seconds:7.1f} s{tests}  {one.trouble}")
    print(f"{'':6}{'all':16}{time.monotonic() - began:7.1f} s")
    bad = [one.step for one in outcomes if one.trouble]
    print(f"{len(steps) - len(bad)} of {len(steps)} steps ok" + (f"; failed: {', '.join(bad)}" if bad else ""))
    run, failed, skipped = (sum(getattr(count, name) for count in counts) for name in ("run", "failed", "skipped"))
    print(f"{run - failed} passed, {failed} failed, {skipped} skipped")
    return 1 if bad else 0


def run_all(steps: list[str]) -> list[Outcome]:
    """Run the steps; those with an & beside what comes after them."""
    outcomes: list[Outcome] = []
    beside: list[Future[tuple[Outcome, str]]] = []

    def join() -> None:
        for one in beside:
            outcome, printed = one.result()
            print(printed, end="", flush=True)
            outcomes.append(outcome)
        beside.clear()

    with ThreadPoolExecutor() as pool:
        for step in steps:
            name = step.removesuffix("&")
            if name in ALONE:
                join()
            if name != step:
                beside.append(pool.submit(run_captured, name))
            else:
                outcomes.append(run_step(name))
        join()
    return outcomes


def run_captured(step: str) -> tuple[Outcome, str]:
    """One make target beside others: (what became of it, what it printed)."""
    with tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace") as out:
        outcome = run_step(step, out)
        out.seek(0)
        return outcome, out.read()


def run_step(step: str, out: TextIO | None = None) -> Outcome:
    """One make target, its output passed through. out: where to instead."""
    print(f"\n==== {step} " + "=" * (74 - len(step)), flush=True, file=out)
    report = REPORTS.get(step)
    if report:
        report.unlink(missing_ok=True)
    env = {key: value for key, value in os.environ.items() if key not in ("MAKEFLAGS", "MFLAGS", "MAKELEVEL")}
    started = time.monotonic()
    status = subprocess.run(
        ["make", "--no-print-directory", step], cwd=ROOT, env=env, stdin=subprocess.DEVNULL, check=False,
        stdout=out, stderr=None if out is None else subprocess.STDOUT,
    ).returncode  # fmt: skip
    seconds = time.monotonic() - started
    counts = read_report(report) if report else Counts()
    trouble = f"exit {status}" if status else ""
    if report and not counts.run:
        trouble = (trouble + ", no test ran").lstrip(", ")
    return Outcome(step, seconds, trouble, counts)


def read_report(path: Path) -> Counts:
    """Counts of a report; zeros if there is none."""
    if not path.is_file():
        return Counts()
    suites = list(ET.parse(path).getroot().iter("testsuite"))
    total, failures, errors, skipped = (
        sum(int(suite.get(name, "0")) for suite in suites) for name in ("tests", "failures", "errors", "skipped")
    )
    return Counts(run=total - skipped, failed=failures + errors, skipped=skipped)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
