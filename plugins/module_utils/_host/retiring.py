# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A unit retired and brought back: the drop-in written and removed so that both survive a crash of the host."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

from .._domain import retirement
from .._domain.errors import OpsError
from .._domain.file_failures import file_failure
from . import units

_UNITS = Path("/etc/systemd/system")


def drop_in_of(unit: str) -> Path:
    """Return where the drop-in of a unit is. unit: its Id, because drop-ins of an alias may not be read."""
    return _UNITS / f"{unit}.d" / retirement.FILE


def reason(unit: str) -> str | None:
    """Return why the unit is retired, None where it is not. Raises OpsError file.unreadable."""
    path = drop_in_of(unit)
    try:
        content = path.read_text(encoding="utf-8", errors="replace")
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as cause:
        raise file_failure(path, cause, writing=False) from None
    if not retirement.keeps_from_starting(content, str(path)):
        return None
    return retirement.reason_in(content)


def retire(unit: str, why: str) -> None:
    """Keep the unit from being started, from now on and after every boot."""
    path = drop_in_of(unit)
    try:
        path.parent.mkdir(mode=0o755, exist_ok=True)
        _write(path, retirement.drop_in(str(path), unit, why))
    except OSError as cause:
        raise file_failure(path, cause, writing=True) from None
    units.reload()
    if reason(unit) is None:
        raise OpsError(
            f"{path} is not what was written, expected it to keep {unit} from being started",
            code="service.enablement",
            hint="find what changes files below /etc/systemd/system",
        )


def bring_back(unit: str) -> None:
    """Let the unit be started again."""
    path = drop_in_of(unit)
    try:
        path.unlink(missing_ok=True)
        _keep(path.parent)
        with suppress(OSError):  # others have drop-ins there
            path.parent.rmdir()
    except OSError as cause:
        raise file_failure(path, cause, writing=True) from None
    units.reload()


def _write(path: Path, content: str) -> None:
    """Put the file in place whole: systemd must never read half of it."""
    unfinished = path.with_suffix(".unfinished")  # no .conf, so systemd passes it over
    try:
        with open(unfinished, "w", encoding="utf-8", opener=_opener) as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(unfinished, path)
    except BaseException:
        unfinished.unlink(missing_ok=True)
        raise
    _keep(path.parent)
    _keep(path.parent.parent)


def _opener(path: str, flags: int) -> int:
    descriptor = os.open(path, flags | os.O_NOFOLLOW | os.O_CLOEXEC, 0o644)
    os.fchmod(descriptor, 0o644)
    return descriptor


def _keep(folder: Path) -> None:
    """Have the folder's list of names outlive a loss of power."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
