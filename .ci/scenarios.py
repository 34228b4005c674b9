# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Run molecule scenarios one after the other (they share ports and tokens), and say what became of each.

    python .ci/scenarios.py SCENARIO …

No scenario at all is a failure: a run over nothing must not look like a run that passed.
"""

from __future__ import annotations

import subprocess
import sys
import time

import in_copy

ROOT = in_copy.ROOT


def main(scenarios: list[str]) -> int:
    """0 if there are scenarios and all of them passed."""
    if not scenarios:
        print("found no scenario below molecule/, expected at least one", file=sys.stderr)
        return 1
    in_copy.prepare_home()
    results = {name: run_scenario(name) for name in scenarios}
    for name, (status, seconds) in results.items():
        print(f"molecule {'FAIL' if status else 'ok':6}{name:30}{seconds:7.1f} s")
    return 1 if any(status for status, _seconds in results.values()) else 0


def run_scenario(name: str) -> tuple[int, float]:
    """(exit status, seconds) of the whole test sequence of one scenario."""
    started = time.monotonic()
    line = ["molecule", "test", "--scenario-name", name]  # what one would type: molecule/config.yml says all the rest
    done = subprocess.run(line, cwd=ROOT, env=in_copy.environment(), check=False)
    return done.returncode, time.monotonic() - started


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
