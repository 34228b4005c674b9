# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Run make targets one after the other, to the last one, then say which failed and how long each took.

    python .ci/steps.py ruff mypy … unit integration …

Exit status 0 only if every step ended with 0 and every step that promises tests (REPORTS) really ran some:
the counts are read from the JUnit reports that pytest wrote during this very run.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
import xml.etree.ElementTree as ET  # nosec: the files read here are written by our own pytest
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent

# step -> the report it must leave behind, with at least one test that ran
REPORTS = {
    "unit": ROOT / ".build" / "reports" / "unit.xml",
    "integration": ROOT / ".build" / "reports" / "integration.xml",
    "test-slow": ROOT / ".build" / "reports" / "slow.xml",
}


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
    outcomes = [run_step(step) for step in steps]
    counts = [outcome.counts for outcome in outcomes]
    print("\n==== summary " + "=" * 67)
    for one in outcomes:
        tests = f"  {one.counts.run} tests" if one.step in REPORTS else ""
        print(f"{'FAIL' if one.trouble else 'ok':6}{one.step:16}{one.seconds:7.1f} s{tests}  {one.trouble}")
    print(f"{'':6}{'all':16}{sum(one.seconds for one in outcomes):7.1f} s")
    bad = [one.step for one in outcomes if one.trouble]
    print(f"{len(steps) - len(bad)} of {len(steps)} steps ok" + (f"; failed: {', '.join(bad)}" if bad else ""))
    run, failed, skipped = (sum(getattr(count, name) for count in counts) for name in ("run", "failed", "skipped"))
    print(f"{run - failed} passed, {failed} failed, {skipped} skipped")
    return 1 if bad else 0


def run_step(step: str) -> Outcome:
    """One make target, its output passed through."""
    print(f"\n==== {step} " + "=" * (74 - len(step)), flush=True)
    report = REPORTS.get(step)
    if report:
        report.unlink(missing_ok=True)
    env = {key: value for key, value in os.environ.items() if key not in ("MAKEFLAGS", "MFLAGS", "MAKELEVEL")}
    started = time.monotonic()
    status = subprocess.run(
        ["make", "--no-print-directory", step], cwd=ROOT, env=env, stdin=subprocess.DEVNULL, check=False
    ).returncode
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
