# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The one opener of files that hold or decide secrets, and the one look at folders in which such files are made.

What is checked is the opened file, and never the path again: between two looks a path may lead elsewhere. ADR-0025.
"""

from __future__ import annotations

import os
import pwd
import stat
from io import BufferedReader
from pathlib import Path

from .._domain.errors import OpsError
from .._domain.file_failures import KIND, file_failure

# WHY not blocking: a FIFO would hang here until somebody writes into it; a file knows no difference.
_OPEN = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_OTHERS_WRITE = stat.S_IWGRP | stat.S_IWOTH
_KINDS = {
    stat.S_IFIFO: "a FIFO",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
    stat.S_IFSOCK: "a socket",
    stat.S_IFDIR: "a folder",
    stat.S_IFLNK: "a link",
}


def open_trusted(path: Path, *, private: bool, service_uid: int | None = None) -> BufferedReader:
    """Open a file for reading that nobody but its owner could have written; the caller closes it.

    private: nobody but its owner may read it either. service_uid: an owner who is trusted besides root and the user of
    this process. Raises FileMissing, OpsError file.kind, file.owner, file.permissions, file.unreadable.
    """
    try:
        descriptor = os.open(path, _OPEN)
    except OSError as cause:
        raise _not_opened(path, cause) from None
    try:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            raise _not_a_file(path, status.st_mode)
        _require_owner(path, status, service_uid)
        _require_mode(path, status.st_mode, private=private)
        return os.fdopen(descriptor, "rb")
    except BaseException:
        os.close(descriptor)
        raise


def require_own_folder(path: Path, *, service_uid: int | None = None, shared: bool = False) -> None:
    """Refuse a folder in which others may plant or exchange files.

    shared: one like /tmp will do, where others may add files but not touch ours. Raises OpsError file.kind, file.owner,
    file.permissions, file.not_writable.
    """
    try:
        descriptor = os.open(path, _OPEN | os.O_DIRECTORY)
    except NotADirectoryError:
        raise _not_a_folder(path) from None
    except OSError as cause:
        raise file_failure(path, cause, writing=True) from None
    try:
        status = os.fstat(descriptor)
    finally:
        os.close(descriptor)
    _require_owner(path, status, service_uid)
    if not (shared and status.st_mode & stat.S_ISVTX):
        _require_mode(path, status.st_mode, private=False)


def uid_of(user: str) -> int | None:
    """Return the uid of the service's user, None for "". Raises OpsError settings.unknown_user."""
    if not user:
        return None
    try:
        return pwd.getpwnam(user).pw_uid
    except KeyError:
        raise OpsError(
            f"this host knows no user {user}",
            code="settings.unknown_user",
            hint="give the user of the service's unit as `service_user`, or leave it out",
        ) from None


def _require_owner(path: Path, status: os.stat_result, service_uid: int | None) -> None:
    trusted = {0, os.geteuid()} | ({service_uid} if service_uid is not None else set())
    if status.st_uid not in trusted:
        raise OpsError(
            f"{path} belongs to uid {status.st_uid}, expected {' or '.join(str(uid) for uid in sorted(trusted))}: its "
            "owner could put anything there",
            code="file.owner",
            hint=f"look at what it holds, then chown it to root; where uid {status.st_uid} is the service's user, give "
            "its name as `service_user`",
        )


def _require_mode(path: Path, mode: int, *, private: bool) -> None:
    found = stat.S_IMODE(mode)
    if private and found & 0o077:
        raise OpsError(
            f"{path} has mode {found:04o}, expected 0600: others may read it",
            code="file.permissions",
            hint=f"chmod 600 {path}; if others could read it, rotate what it holds",
        )
    if found & _OTHERS_WRITE:
        raise OpsError(
            f"{path} has mode {found:04o}: others may write into it",
            code="file.permissions",
            hint=f"look at what is there, then chmod go-w {path}",
        )


def _not_opened(path: Path, cause: OSError) -> OpsError:
    """Return why. WHY the second look: a link and a socket are told by their errno in different ways."""
    try:
        mode = path.lstat().st_mode
    except OSError:
        return file_failure(path, cause, writing=False)
    return file_failure(path, cause, writing=False) if stat.S_ISREG(mode) else _not_a_file(path, mode)


def _not_a_file(path: Path, mode: int) -> OpsError:
    return OpsError(
        f"{path} is {_KINDS.get(stat.S_IFMT(mode), 'no file')}, expected a file",
        code=KIND,
        hint="put the file itself there; links are not followed, because they may lead to another file later",
    )


def _not_a_folder(path: Path) -> OpsError:
    kind = _KINDS.get(stat.S_IFMT(path.lstat().st_mode), "a file")
    return OpsError(
        f"{path} is {kind}, expected a folder", code=KIND, hint="choose another path; what is there was not touched"
    )
