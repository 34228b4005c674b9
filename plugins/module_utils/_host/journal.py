# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The last lines of a unit's journal, as they may be shown: what its secrets.env holds is masked."""

from __future__ import annotations

import glob
import os
import stat
from collections.abc import Iterable

from .._domain.environment_file import parse_assignments
from .._domain.errors import OpsError
from .._domain.journal_lines import journal_lines
from .._domain.secret_forms import Mask, raw_values, values_to_hide
from .._domain.unit_state import UnitState
from . import programs

LINES = 20
_LONGEST_FILE = 1 << 20  # bytes


def last_lines(state: UnitState, mask_from: str = "") -> tuple[str, ...]:
    """Return the last lines, oldest first. Never fails: this is what a failure shows beside its reason.

    mask_from: one more file whose values are masked; it may be missing.
    """
    files = [*state.environment_files, *([(mask_from, True)] if mask_from else [])]
    try:
        mask = Mask(_secrets(files))
    except OSError as cause:
        return (f"(left out: {cause.filename} cannot be read, so what it holds cannot be masked)",)
    try:
        programs.run("journalctl", "--sync", within_s=5)  # the last words of a process that died may be on their way
        answer = programs.run(
            "journalctl", f"--unit={state.name}", f"--lines={LINES}", "--output=json", "--no-pager", "--quiet",
            "--output-fields=MESSAGE,SYSLOG_IDENTIFIER,_PID", within_s=10,
        )  # fmt: skip
    except OpsError as cause:
        return (f"(the journal cannot be read: {cause.message})",)
    return journal_lines(answer.output, mask)


def _secrets(files: Iterable[tuple[str, bool]]) -> set[str]:
    """Return what the files hold. Raises OSError for one that is there and cannot be read."""
    hidden = set()
    for pattern, _optional in files:
        for path in glob.glob(pattern) if glob.has_magic(pattern) else [pattern]:  # noqa: PTH207 - systemd's own rule
            hidden |= _hidden_in(path)
    return hidden


def _hidden_in(path: str) -> set[str]:
    """Return what one file holds. WHY both ways: a broken file is read in neither, and is why a service fails."""
    text = _text(path)
    hidden = values_to_hide(raw_values(text))
    try:
        return hidden | values_to_hide(parse_assignments(text, origin=path))
    except OpsError:
        return hidden


def _text(path: str) -> str:
    """Return a file's text, "" where there is none. WHY not blocking: a FIFO would hang here."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except FileNotFoundError:
        return ""
    with os.fdopen(descriptor, "rb") as file:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise OSError(0, "no file", path)
        return file.read(_LONGEST_FILE).decode("utf-8", "surrogateescape")
