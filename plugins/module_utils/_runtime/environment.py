# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The environment in use, and whether it is the one that is wanted.

FOLDER/current -> env-2f1c…    the link that says which one is in use
FOLDER/env-2f1c…/              a virtual environment; one without its mark was never finished
FOLDER/env-2f1c…/certautopilot-runtime.json    its mark, written last: the lock that it was made of
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from .._domain.errors import FileMissing, OpsError
from .._store.opener import require_own_folder
from .._store.private_files import read_trusted
from .proof import prove

CURRENT = "current"
MARK = "certautopilot-runtime.json"
PREFIX = "env-"


@dataclass(frozen=True, slots=True)
class Wanted:
    """lock_sha256: of the lock's file. libraries: name -> version in it. pythons: real paths it may be made of."""

    lock_sha256: str
    libraries: Mapping[str, str]
    pythons: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Environment:
    """trouble: why it must be made anew, "" where it is fit. python: its interpreter, "" where there is none at all."""

    trouble: str
    python: str = ""
    version: str = ""

    def as_fact(self, wanted: Wanted) -> dict[str, object]:
        """Return what the fact file says of it."""
        return {
            "python": self.python,
            "version": self.version,
            "lock": wanted.lock_sha256,
            "libraries": dict(wanted.libraries),
        }


def look(folder: Path, wanted: Wanted) -> Environment:
    """Return the environment in use and what is wrong with it. Raises OpsError file.* where others may write there."""
    if not os.path.lexists(folder):
        return Environment("there is none")
    require_own_folder(folder)
    name = name_in_use(folder)
    return examine(folder / name, wanted) if name else Environment("there is none")


def examine(place: Path, wanted: Wanted) -> Environment:
    """Return what is wrong with one environment."""
    python = place / "bin" / "python"
    if _lock_of(place) != wanted.lock_sha256:
        return Environment("it has the libraries of another lock", str(python))
    proof = prove(python, wanted.libraries)
    trouble = f"it is damaged: {proof.trouble}" if proof.trouble else ""
    if not trouble and wanted.pythons and proof.base not in wanted.pythons:
        trouble = f"it was made by {proof.base}, which is none of {', '.join(wanted.pythons)}"
    return Environment(trouble, str(python), proof.version)


def name_in_use(folder: Path) -> str:
    """Return the name of the environment that the link points to, "" where it points to none of ours."""
    try:
        name = (folder / CURRENT).readlink().name
    except OSError:
        return ""
    return name if name.startswith(PREFIX) and (folder / name).is_dir() else ""


def mark(place: Path, lock_sha256: str) -> None:
    """Say that an environment is finished. Raises OSError."""
    with (place / MARK).open("w", encoding="utf-8") as raw:
        json.dump({"lock_sha256": lock_sha256}, raw)
        raw.flush()
        os.fsync(raw.fileno())


def is_finished(place: Path) -> bool:
    return bool(_lock_of(place))


def _lock_of(place: Path) -> str:
    try:
        said = json.loads(read_trusted(place / MARK, at_most=4096))
    except (FileMissing, ValueError):
        return ""
    except OpsError:
        return ""  # SAFE BECAUSE a mark that somebody else could have written counts as none: it is made anew
    return str(said.get("lock_sha256", "")) if isinstance(said, dict) else ""
