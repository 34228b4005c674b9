# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the system says of a path that cannot be read or written, as a failure that names path and cause (X83)."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager

from .errors import FileMissing, OpsError

KIND = "file.kind"
_ROOM = ("file.no_space", "make room on its file system, or choose a path on another one; then run again")
_ELSEWHERE = (KIND, "give the path of what is expected there; what is there now was not touched")
_WAYS = {
    errno.ENOSPC: _ROOM,
    errno.EDQUOT: _ROOM,
    errno.EFBIG: ("file.too_large", "choose a file system that takes larger files, and look at `ulimit -f`"),
    errno.ENAMETOOLONG: ("file.name_too_long", "choose a shorter path"),
    errno.EISDIR: _ELSEWHERE,
    errno.ENOTDIR: _ELSEWHERE,
    errno.ELOOP: _ELSEWHERE,
    errno.ENXIO: _ELSEWHERE,
}
_READING = ("file.unreadable", "check that it exists, and its owner, mode and content")
_WRITING = ("file.not_writable", "check that the folder exists, its owner and mode, and how it is mounted")


def file_failure(path: str | os.PathLike[str], cause: OSError, *, writing: bool) -> OpsError:
    """Return the failure for a path that could not be read or written.

    It shows the path, the system's words and the errno's name; nothing of what was to be written.
    """
    if cause.errno == errno.ENOENT and not writing:
        return FileMissing(f"no file {os.fspath(path)}", hint="correct the path, or create it with mode 0600")
    code, hint = _WAYS.get(cause.errno or 0, _WRITING if writing else _READING)
    name = errno.errorcode.get(cause.errno or 0, type(cause).__name__)
    words = "it is a link" if cause.errno == errno.ELOOP else (cause.strerror or "the system does not say why")
    verb = "write" if writing else "read"
    return OpsError(f"cannot {verb} {os.fspath(path)}: {words} ({name})", code=code, hint=hint)


@contextmanager
def failures_of(path: str | os.PathLike[str], *, writing: bool = True) -> Iterator[None]:
    """Turn what the system says in this block into a failure that names the path. Raises OpsError file.*."""
    try:
        yield
    except OSError as cause:
        # WHY ours and not its own: it may name a temporary file, or nothing at all where a descriptor was written to.
        raise file_failure(path, cause, writing=writing) from None
