# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Interpreters that are too old for the collection: the real ones of this machine, and one that only says it is.

The stand-in is this Python behind a `sitecustomize` that changes `sys.version` and `sys.version_info`. It understands
more than an old Python does, so it shows that the check is made, and only a real one shows that it can be.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

VERSIONS = ("3.9", "3.10")  # ansible-core 2.18 to 2.21 start modules with these; up to 2.19 with 3.8 too
_TELL = "import sys; print(sys.version.split()[0], sys.executable)"

_SITECUSTOMIZE = """\
import collections
import sys

info = collections.namedtuple("version_info", "major minor micro releaselevel serial")
sys.version_info = info(3, 9, 99, "final", 0)
sys.version = "3.9.99 (stand-in)"
"""


@dataclass(frozen=True)
class OldPython:
    """command: what to set ansible_python_interpreter to. version, path: what it says of itself."""

    command: str
    version: str
    path: str


def installed() -> list[OldPython]:
    """Return an interpreter for each of VERSIONS that PATH or pyenv has."""
    return [found for version in VERSIONS if (found := _started(f"python{version}") or _of_pyenv(version))]


def _of_pyenv(version: str) -> OldPython | None:
    """Return pyenv's interpreter, if it has one. WHY not its link on PATH: that starts the chosen version only."""
    if shutil.which("pyenv") is None:
        return None
    told = subprocess.run(["pyenv", "prefix", version], capture_output=True, text=True, check=False)
    return _started(f"{told.stdout.strip()}/bin/python{version}") if told.returncode == 0 else None


def _started(python: str) -> OldPython | None:
    """Return what an interpreter says of itself, None when it does not start."""
    try:
        told = subprocess.run([python, "-c", _TELL], capture_output=True, text=True, check=False)  # runs: python3
    except OSError:
        return None
    return OldPython(python, *told.stdout.split()) if told.returncode == 0 else None


def stand_in(folder: Path) -> OldPython:
    """Write the stand-in into this folder and return it."""
    folder.mkdir()
    (folder / "sitecustomize.py").write_text(_SITECUSTOMIZE, encoding="utf-8")
    command = folder / "python3.9"
    # WHY without -I: it would leave out the variable by which this says that it is old.
    script = f'#!/bin/sh\nif test "$1" = -I; then shift; fi\nPYTHONPATH="{folder}" exec "{sys.executable}" "$@"\n'
    command.write_text(script, encoding="utf-8")
    command.chmod(0o755)
    return OldPython(str(command), "3.9.99", sys.executable)
