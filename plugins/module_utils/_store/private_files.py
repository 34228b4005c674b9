# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The one reader and the one writer of private files: written whole or not at all, 0600, synced, swapped in.

Read through `opener`; written as `unfinished` says, beside the target.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from .._domain.environment_file import format_assignments, grammar, parse_assignments
from .._domain.errors import OpsError
from .._domain.file_failures import failures_of, file_failure
from . import unfinished
from .opener import open_trusted, require_own_folder


def write_private(
    path: Path,
    content: bytes,
    *,
    replace: bool = True,
    owner: tuple[int, int] | None = None,
    mode: int = 0o600,
    service_uid: int | None = None,
) -> None:
    """Write a 0600 file. replace: False refuses an existing one. owner: (uid, gid), None for the caller's, -1 for one.

    mode: where the operator asked for another, which the file gets when all of it is there.
    service_uid: the folder may be that user's. Raises OpsError file.not_writable, file.no_space, file.kind, file.owner,
    file.permissions, file.exists.
    """
    require_own_folder(path.parent, service_uid=service_uid, shared=True)
    unfinished.remove_dead(path.parent)
    try:
        with failures_of(path), unfinished.file_in(path.parent) as (raw, temporary):
            if owner is not None and owner != (os.geteuid(), os.getegid()):
                os.fchown(raw.fileno(), *owner)
            raw.write(content)
            raw.flush()
            if mode != 0o600:
                os.fchmod(raw.fileno(), mode)
            os.fsync(raw.fileno())
            _put(temporary, path, replace=replace)
            sync_folder(path.parent)
    except _Exists:
        raise OpsError(f"{path} exists already", code="file.exists", hint="another run made it; run again") from None


def new_file(path: Path) -> BinaryIO:
    """Open a file that does not exist yet for writing, 0600. Raises OSError."""
    return os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600), "wb")


class _Exists(Exception):
    """A file that must not be replaced is there."""


def _put(temporary: Path, path: Path, *, replace: bool) -> None:
    if replace:
        temporary.replace(path)
        return
    try:
        os.link(temporary, path)
    except FileExistsError:
        raise _Exists from None


def private_folder(path: Path, *, service_uid: int | None = None) -> None:
    """Make a folder 0700; its parents are 0755 or less. One that exists must be nobody else's to write into.

    Raises OpsError file.kind, file.owner, file.permissions, file.not_writable, file.no_space, file.name_too_long.
    """
    make_parents(path)
    _make(path, 0o700)
    require_own_folder(path, service_uid=service_uid)


def require_fit(path: Path, *, service_uid: int | None = None) -> bool:
    """Return whether a folder exists. Raises OpsError file.* where it cannot be made, or others may write into it."""
    try:
        path.lstat()
    except FileNotFoundError:
        return False
    except OSError as cause:
        raise file_failure(path, cause, writing=True) from None
    require_own_folder(path, service_uid=service_uid)
    return True


@contextmanager
def working_folder(dest: Path, *, service_uid: int | None = None) -> Iterator[Path]:
    """Yield a new folder on the file system on which `dest` is, or will be: in it where it exists, else beside it.

    WHY: `dest` may be a mount point; beside it is the file system of its parent, which may be small, or not encrypted.
    Its content is removed at the end unless `put_in_place` gave it its place. Raises OpsError file.*.
    """
    exists = require_fit(dest, service_uid=service_uid)
    if not exists:
        make_parents(dest)
    where = dest if exists else dest.parent
    unfinished.remove_dead(where)
    with contextlib.ExitStack() as stack:
        with failures_of(dest):  # WHY only around this: what fails inside names its own path
            working = stack.enter_context(unfinished.folder_in(where))
        yield working


def put_in_place(working: Path, dest: Path, *, last: str) -> None:
    """Give a finished folder its name. Where `dest` exists each entry moves into it, the one named `last` at the end.

    A crash between two entries leaves `last` as it was before. Raises OSError.
    """
    sync_folder(working)
    if working.parent == dest:
        for one in sorted(working.iterdir(), key=lambda one: (one.name == last, one.name)):
            one.replace(dest / one.name)
        sync_folder(dest)
    else:
        working.replace(dest)
    sync_folder(dest.parent)


def make_parents(path: Path) -> None:
    """Make the folders above a path, 0755 or less. Raises OpsError file.*."""
    for parent in reversed(path.parents):
        _make(parent, 0o755)


def _make(path: Path, mode: int) -> None:
    try:
        path.mkdir(mode=mode)
    except FileExistsError:
        pass  # what it is, the next step tells
    except OSError as cause:
        if not path.is_dir():  # WHY: a file system that is mounted read-only says EROFS of folders that exist, too
            raise file_failure(path, cause, writing=True) from None


def append_assignments(path: Path, values: Mapping[str, str], *, service_uid: int | None = None) -> bool:
    """Append `NAME=value` lines to an environment file, whole or not at all; owner and mode stay as they were.

    What is in it already with the same value is left out, so that two runs append once (X22); return whether anything
    was appended. Raises OpsError file.*.
    """
    with open_trusted(path, private=True, service_uid=service_uid) as raw, failures_of(path, writing=False):
        content, status = raw.read(), os.fstat(raw.fileno())
    missing = _missing(path, content, values)
    if not missing:
        return False
    if content.rstrip(b"\r\n").endswith(b"\\"):
        raise grammar(str(path), "its last line ends in a backslash, so that it would go on in what is appended")
    content += b"" if not content or content.endswith(b"\n") else b"\n"
    appended = content + format_assignments(missing).encode()
    _missing(path, appended, {**parse_assignments(content.decode("utf-8"), origin=str(path)), **missing})  # read back
    write_private(path, appended, owner=(status.st_uid, status.st_gid), service_uid=service_uid)
    return True


def _missing(path: Path, content: bytes, values: Mapping[str, str]) -> dict[str, str]:
    """Return what an environment file does not have yet, by name. Raises OpsError file.grammar, file.conflict."""
    try:
        there = parse_assignments(content.decode("utf-8"), origin=str(path))
    except UnicodeDecodeError as cause:
        raise _unreadable(path, type(cause).__name__) from None
    for name, value in values.items():
        if there.get(name, value) != value:
            raise OpsError(
                f"{path} got another value for {name} meanwhile",
                code="file.conflict",
                hint="another run writes to it: look at it, then run again",
            )
    return {name: value for name, value in sorted(values.items()) if name not in there}


def read_private(path: Path, *, empty_code: str = "", service_uid: int | None = None, whole: bool = False) -> bytes:
    """Return the content of a file that nobody else may read, one trailing newline stripped.

    whole: with that newline, for a reader that looks at it itself.
    Raises what `open_trusted` raises, and OpsError `empty_code` when it holds nothing.
    """
    with open_trusted(path, private=True, service_uid=service_uid) as raw, failures_of(path, writing=False):
        content = raw.read()
    content = content if whole else content.removesuffix(b"\n").removesuffix(b"\r")
    if empty_code and not content.strip():
        raise OpsError(f"{path} is empty", code=empty_code, hint="write the value into it")
    return content


def read_private_text(path: Path, *, empty_code: str = "", service_uid: int | None = None) -> str:
    """Return the text of such a file. Raises what `read_private` raises; file.unreadable also where it is no UTF-8."""
    try:
        return read_private(path, empty_code=empty_code, service_uid=service_uid).decode("utf-8")
    except UnicodeDecodeError as cause:
        raise _unreadable(path, type(cause).__name__) from None


def read_trusted(path: Path, *, at_most: int = -1, service_uid: int | None = None) -> bytes:
    """Return the content of a file that others may read but not write. Raises what `open_trusted` raises.

    at_most: bytes, of a file that somebody else may have made very long.
    """
    with open_trusted(path, private=False, service_uid=service_uid) as raw, failures_of(path, writing=False):
        return raw.read(at_most)


def file_sha256(path: Path, *, service_uid: int | None = None) -> str:
    """Return the SHA-256 in hex of a file that others may read but not write. Raises what `open_trusted` raises."""
    with open_trusted(path, private=False, service_uid=service_uid) as raw, failures_of(path, writing=False):
        return hashlib.file_digest(raw, "sha256").hexdigest()


def sync_folder(path: Path) -> None:
    """Make renames in a folder durable. Raises OSError."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _unreadable(path: Path, why: str) -> OpsError:
    return OpsError(f"cannot read {path} ({why})", code="file.unreadable", hint="check its owner and content")
