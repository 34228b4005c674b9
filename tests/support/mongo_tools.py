# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""MongoDB's own mongodump and mongorestore: built from their Go module where go is on PATH, else those on PATH.

They are built once, into `.build/mongo-tools`, from a commit whose hash is in go_tools/go.sum. `go install` would ask
for the module's list of versions, which a proxy may refuse; `go build` in a module that requires the commit does not.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
from functools import cache
from pathlib import Path

from .processes import REPOSITORY

CACHE = REPOSITORY / ".build" / "mongo-tools"
MODULE = Path(__file__).parent / "go_tools"
BUILD_TIMEOUT_S = 600


@cache
def found(name: str) -> tuple[Path | None, str]:
    """Return (path of mongodump or mongorestore, "") or (None, why there is none)."""
    go, on_path = shutil.which("go"), shutil.which(name)
    why = "go is not on PATH"
    if go is not None:
        built, why = _built(go, name)
        if built is not None:
            return built, ""
    return (Path(on_path), "") if on_path else (None, f"{name} is not on PATH, and was not built: {why}")


def _built(go: str, name: str) -> tuple[Path | None, str]:
    """Return (the tool, "") or (None, the end of what go said). WHY locked: test processes run side by side."""
    CACHE.mkdir(parents=True, exist_ok=True)
    target = CACHE / name
    with open(CACHE / "lock", "w", encoding="ascii") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if target.exists():
            return target, ""
        for one in ("go.mod", "go.sum"):
            shutil.copyfile(MODULE / one, CACHE / one)
        places = {"GOPATH": str(CACHE / "path"), "GOCACHE": str(CACHE / "cache")}
        settings = {"GOFLAGS": "-mod=mod -modcacherw", "GOTOOLCHAIN": "local", "CGO_ENABLED": "0", **places}
        command = [go, "build", "-o", f"{target}.new", f"github.com/mongodb/mongo-tools/{name}/main"]
        try:
            done = subprocess.run(
                command, cwd=CACHE, env={**os.environ, **settings}, capture_output=True, text=True, check=False,
                timeout=BUILD_TIMEOUT_S,
            )  # fmt: skip  # runs: (go, which was looked for)
        except subprocess.TimeoutExpired:
            return None, f"go build took more than {BUILD_TIMEOUT_S} s"
        if done.returncode:
            return None, " ".join(done.stderr.split())[-300:]
        Path(f"{target}.new").replace(target)
        return target, ""
