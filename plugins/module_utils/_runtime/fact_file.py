# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The fact file: which interpreter has the libraries, for Ansible's own facts (`ansible_local.certautopilot`)."""

from __future__ import annotations

import json
import stat
from collections.abc import Mapping
from pathlib import Path

from .._domain.errors import FileMissing
from .._domain.file_failures import failures_of
from .._store.private_files import make_parents, read_trusted, write_private
from .making import readable_by_all

_MODE = 0o644  # WHY not more: Ansible runs a fact file that is executable. Not less: facts are read without become too.


def says(path: Path, facts: Mapping[str, object]) -> bool:
    """Return whether the file holds these facts. Raises OpsError file.* where somebody else could have written it."""
    try:
        content = read_trusted(path)
    except FileMissing:
        return False
    return content == _text(facts) and stat.S_IMODE(path.stat().st_mode) == _MODE


def write(path: Path, facts: Mapping[str, object]) -> None:
    """Replace the file as a whole. Raises OpsError file.*."""
    with failures_of(path), readable_by_all():
        make_parents(path)
        write_private(path, _text(facts))
        path.chmod(_MODE)


def _text(facts: Mapping[str, object]) -> bytes:
    return (json.dumps(facts, indent=2, sort_keys=True) + "\n").encode("utf-8")
