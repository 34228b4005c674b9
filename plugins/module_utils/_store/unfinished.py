# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Files and folders that are being written: named so that the next run knows them, locked so that it knows who lives.

A lock of the kernel ends with its process, however that ended, in whatever container it ran, and with a reboot; the
number of a process is given to another one. So what can be locked belongs to nobody, and is removed (X27). ADR-0025.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import secrets
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

PREFIX = ".certautopilot-unfinished."
_NAME = re.compile(re.escape(PREFIX) + "[0-9a-f]{16}")
_LOOK = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_NEW = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


@contextmanager
def file_in(folder: Path) -> Iterator[tuple[BinaryIO, Path]]:
    """Yield (a new 0600 file open for writing, its path); removed at the end unless it was renamed. Raises OSError."""
    while True:
        path = _new_path(folder)
        raw = os.fdopen(os.open(path, _NEW, 0o600), "w+b")
        try:
            if _taken(raw.fileno(), path):
                yield raw, path
                return
        finally:
            # SAFE BECAUSE what counts was synced before it was renamed: what is left in the buffer belongs to nothing,
            # and on a full disk it must not keep the file from being removed.
            with contextlib.suppress(OSError):
                raw.close()
            path.unlink(missing_ok=True)


@contextmanager
def folder_in(folder: Path) -> Iterator[Path]:
    """Yield the path of a new 0700 folder; removed with all in it at the end unless it was renamed. Raises OSError."""
    while True:
        path = _new_path(folder)
        path.mkdir(mode=0o700)
        descriptor = os.open(path, _FOLDER)
        try:
            if _taken(descriptor, path):
                yield path
                return
        finally:
            os.close(descriptor)
            shutil.rmtree(path, ignore_errors=True)


def remove_dead(folder: Path, rescue: Callable[[Path], None] = lambda _left: None) -> int:
    """Remove what runs that are dead left in a folder; return how many there were. What cannot be removed stays.

    rescue: called with each before it is removed.
    """
    removed = 0
    for path in left_in(folder):
        with contextlib.suppress(OSError):
            removed += _remove_dead(path, rescue)
    return removed


def left_in(folder: Path) -> list[Path]:
    """Return what is unfinished in a folder, whether or not somebody is still writing it."""
    try:
        return sorted(path for path in folder.iterdir() if is_unfinished(path.name))
    except OSError:
        return []


def is_unfinished(name: str) -> bool:
    """Return whether a file name is one of ours."""
    return _NAME.fullmatch(name) is not None


def _new_path(folder: Path) -> Path:
    return folder / f"{PREFIX}{secrets.token_hex(8)}"


def _taken(descriptor: int, path: Path) -> bool:
    """Lock it for as long as this process lives; return whether it is still there, because a cleaner came first."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:  # a file system without locks: nobody can lock it there, so nobody removes it
        return True
    try:
        return os.path.samestat(os.fstat(descriptor), path.lstat())
    except FileNotFoundError:
        return False


def _remove_dead(path: Path, rescue: Callable[[Path], None]) -> bool:
    descriptor = os.open(path, _LOOK)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)  # raises OSError while its process lives
        if path.is_dir():
            rescue(path)
            shutil.rmtree(path)
        else:
            path.unlink()
    finally:
        os.close(descriptor)
    return True
