# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Renew the locks: those of development in requirements/, one per Python version, and the one that the role runtime
installs on hosts. Every file by hash, no address of an index (ADR-0006, ADR-0034).
"""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import environment

COMPILE = ("pip", "compile", "--quiet", "--upgrade", "--prerelease", "if-necessary-or-explicit", "--generate-hashes",
           "--no-header", "--no-annotate", "--no-emit-index-url", "--no-emit-find-links")  # fmt: skip


# What is installed on hosts is what was tested. WHY universal: the controller reads this lock for hosts whose Python
# and processor it does not share.
TESTED = "requirements/dev-py311.txt"
HOSTS = ("requirements.txt", "roles/runtime/files/lock.txt", "--universal", "--python-version", "3.11")


def jobs(fresh: Path) -> list[tuple[str, ...]]:
    """Return (what is wanted, its lock, options…) of each lock, by paths in the repository. fresh: of new ones."""
    development = [
        ("requirements/dev.in", f"requirements/dev-py{major}{minor}.txt", "--python-version", f"{major}.{minor}")
        for major, minor in environment.SUPPORTED
    ]
    return [
        ("requirements/bootstrap.in", "requirements/bootstrap.txt", "--python-version", "3.11"),
        *development,
        (*HOSTS, "--constraint", str(fresh / TESTED)),
    ]


def main() -> int:
    """Write all locks; 1, and all of them as they were, if one could not be resolved."""
    fresh = environment.ROOT / ".build" / "locks"
    shutil.rmtree(fresh, ignore_errors=True)
    fresh.mkdir(parents=True)
    uv = str(environment.VENV / "bin" / "uv")
    # One index decides what is newest: extra ones may carry old or partial copies of the same names.
    env = environment.uv_environment(sys.executable, one_index=True)
    for source, target, *options in jobs(fresh):
        new = fresh / target
        new.parent.mkdir(parents=True, exist_ok=True)
        if not environment.run(
            [uv, *COMPILE, *options, str(environment.ROOT / source), "--output-file", str(new)], env
        ):
            return 1
    for _source, target, *_options in jobs(fresh):
        shutil.copyfile(fresh / target, environment.ROOT / target)
    return 0


if __name__ == "__main__":
    sys.exit(main())
