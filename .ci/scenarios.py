# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Run molecule scenarios one after the other (they share ports and tokens), and say what became of each.

    python .ci/scenarios.py SCENARIO …

Those whose names begin with `hosts_` need test hosts (tests/support/hosts); where this machine cannot have them they
are skipped, and the reason is printed. No scenario that ran is a failure: a run over nothing must not look like one
that passed.
"""

from __future__ import annotations

import subprocess
import sys
import time

import in_copy

ROOT = in_copy.ROOT


def main(scenarios: list[str]) -> int:
    """0 if there are scenarios and all of them passed, but for those that this machine cannot run."""
    if not scenarios:
        print("found no scenario below molecule/, expected at least one", file=sys.stderr)
        return 1
    reason = why_no_hosts() if any(map(needs_hosts, scenarios)) else ""
    skipped = [name for name in scenarios if reason and needs_hosts(name)]
    in_copy.prepare_home()
    results = {name: run_scenario(name) for name in scenarios if name not in skipped}
    for name in skipped:
        print(f"molecule skip  {name:30}{reason}")
    for name, (status, seconds) in results.items():
        print(f"molecule {'FAIL' if status else 'ok':6}{name:30}{seconds:7.1f} s")
    return 1 if not results or any(status for status, _seconds in results.values()) else 0


def needs_hosts(name: str) -> bool:
    return name.startswith("hosts_")


def why_no_hosts() -> str:
    """Return why this machine cannot run test hosts, "" when it can."""
    line = [sys.executable, "-m", "tests.support.hosts", "why-not"]
    done = subprocess.run(line, cwd=ROOT, capture_output=True, text=True, check=False)
    return (done.stdout or done.stderr).strip() if done.returncode else ""


def run_scenario(name: str) -> tuple[int, float]:
    """(exit status, seconds) of the whole test sequence of one scenario."""
    started = time.monotonic()
    line = ["molecule", "test", "--scenario-name", name]  # what one would type: molecule/config.yml says all the rest
    done = subprocess.run(line, cwd=ROOT, env=in_copy.environment(), check=False)
    return done.returncode, time.monotonic() - started


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
