# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Renew the locks in requirements/: one per Python version, every file by hash, no address of an index (ADR-0006)."""

from __future__ import annotations

import sys

import environment

COMPILE = ("pip", "compile", "--quiet", "--upgrade", "--prerelease", "if-necessary-or-explicit", "--generate-hashes",
           "--no-header", "--no-annotate", "--no-emit-index-url", "--no-emit-find-links")  # fmt: skip


def main() -> int:
    """Write bootstrap.txt and dev-py3XX.txt; 1 if one of them could not be resolved."""
    folder = environment.ROOT / "requirements"
    uv = str(environment.VENV / "bin" / "uv")
    env = environment.uv_environment(sys.executable)
    # One index decides what is newest: extra ones may lag behind, and first-come is uv's safe default.
    env.pop("UV_INDEX_STRATEGY", None)
    jobs = [("bootstrap.in", "bootstrap.txt", "3.11")]
    jobs += [("dev.in", f"dev-py{major}{minor}.txt", f"{major}.{minor}") for major, minor in environment.SUPPORTED]
    for source, target, version in jobs:
        argv = [uv, *COMPILE, "--python-version", version, str(folder / source), "--output-file", str(folder / target)]
        if not environment.run(argv, env):
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
