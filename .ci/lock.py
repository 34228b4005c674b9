# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Renew the locks in requirements/: one per Python version, every file by hash, no address of an index (ADR-0006)."""

from __future__ import annotations

import shutil
import sys

import environment

COMPILE = ("pip", "compile", "--quiet", "--upgrade", "--prerelease", "if-necessary-or-explicit", "--generate-hashes",
           "--no-header", "--no-annotate", "--no-emit-index-url", "--no-emit-find-links")  # fmt: skip


def main() -> int:
    """Write bootstrap.txt and dev-py3XX.txt; 1, and all of them as they were, if one could not be resolved."""
    folder, fresh = environment.ROOT / "requirements", environment.ROOT / ".build" / "locks"
    shutil.rmtree(fresh, ignore_errors=True)
    fresh.mkdir(parents=True)
    uv = str(environment.VENV / "bin" / "uv")
    # One index decides what is newest: extra ones may carry old or partial copies of the same names.
    env = environment.uv_environment(sys.executable, one_index=True)
    jobs = [("bootstrap.in", "bootstrap.txt", "3.11")]
    jobs += [("dev.in", f"dev-py{major}{minor}.txt", f"{major}.{minor}") for major, minor in environment.SUPPORTED]
    for source, target, version in jobs:
        argv = [uv, *COMPILE, "--python-version", version, str(folder / source), "--output-file", str(fresh / target)]
        if not environment.run(argv, env):
            return 1
    for _source, target, _version in jobs:
        shutil.copyfile(fresh / target, folder / target)
    return 0


if __name__ == "__main__":
    sys.exit(main())
