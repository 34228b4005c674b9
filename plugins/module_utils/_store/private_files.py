# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Private files written whole or not at all: temporary file beside the target, 0600, synced, renamed, folder synced."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Mapping
from pathlib import Path

from .._domain.environment_file import format_assignments, grammar, parse_assignments
from .._domain.errors import FileMissing, OpsError


def write_private(path: Path, content: bytes, *, replace: bool = True, owner: tuple[int, int] | None = None) -> None:
    """Write a 0600 file. replace: False refuses an existing one. owner: (uid, gid), None for the caller's.

    Raises OpsError file.not_writable, file.exists.
    """
    try:
        descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        try:
            with os.fdopen(descriptor, "wb") as raw:
                if owner is not None and owner != (os.getuid(), os.getgid()):
                    os.fchown(raw.fileno(), *owner)
                raw.write(content)
                raw.flush()
                os.fsync(raw.fileno())
            if replace:
                Path(temporary).replace(path)
            else:
                os.link(temporary, path)
                Path(temporary).unlink()
        except BaseException:
            Path(temporary).unlink(missing_ok=True)
            raise
        sync_folder(path.parent)
    except FileExistsError:
        raise OpsError(f"{path} exists already", code="file.exists", hint="another run made it; run again") from None
    except OSError as cause:
        raise not_writable(path, cause) from None


def private_folder(path: Path) -> None:
    """Make a folder 0700 (parents as the umask says). An existing one is left as it is."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.mkdir(mode=0o700, exist_ok=True)
    except OSError as cause:
        raise not_writable(path, cause) from None


def append_assignments(path: Path, values: Mapping[str, str]) -> bool:
    """Append `NAME=value` lines to an environment file, whole or not at all; owner and mode stay as they were.

    What is in it already with the same value is left out, so that two runs append once (X22); return whether anything
    was appended. Raises OpsError
    file.not_writable, file.grammar, file.conflict.
    """
    try:
        content, status = path.read_bytes(), path.stat()
    except OSError as cause:
        raise not_writable(path, cause) from None
    missing = _missing(path, content, values)
    if not missing:
        return False
    if content.rstrip(b"\r\n").endswith(b"\\"):
        raise grammar(str(path), "its last line ends in a backslash, so that it would go on in what is appended")
    content += b"" if not content or content.endswith(b"\n") else b"\n"
    appended = content + format_assignments(missing).encode()
    _missing(path, appended, {**parse_assignments(content.decode("utf-8"), origin=str(path)), **missing})  # read back
    write_private(path, appended, owner=(status.st_uid, status.st_gid))
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


def read_private(path: Path, *, empty_code: str = "") -> bytes:
    """Return the content of a file that nobody else may read, one trailing newline stripped.

    Raises FileMissing, OpsError file.unreadable, file.permissions, and `empty_code` when it holds nothing.
    """
    try:
        status, content = path.stat(), path.read_bytes()
    except FileNotFoundError:
        raise FileMissing(f"no file {path}", hint="correct the path, or create it with mode 0600") from None
    except OSError as cause:
        raise _unreadable(path, type(cause).__name__) from None
    if status.st_mode & 0o077:
        raise OpsError(
            f"{path} has mode {status.st_mode & 0o777:04o}, expected 0600: others may read it",
            code="file.permissions",
            hint=f"chmod 600 {path}; if others could read it, rotate what it holds",
        )
    content = content.removesuffix(b"\n").removesuffix(b"\r")
    if empty_code and not content.strip():
        raise OpsError(f"{path} is empty", code=empty_code, hint="write the value into it")
    return content


def read_private_text(path: Path, *, empty_code: str = "") -> str:
    """Return the text of such a file. Raises what `read_private` raises; file.unreadable also where it is no UTF-8."""
    try:
        return read_private(path, empty_code=empty_code).decode("utf-8")
    except UnicodeDecodeError as cause:
        raise _unreadable(path, type(cause).__name__) from None


def sync_folder(path: Path) -> None:
    """Make renames in a folder durable."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def not_writable(path: Path, cause: OSError) -> OpsError:
    """Return the failure for a path that cannot be written."""
    return OpsError(
        f"cannot write {path}: {cause.strerror}",
        code="file.not_writable",
        hint="check that the folder exists, its owner and mode, and the space left",
    )


def _unreadable(path: Path, why: str) -> OpsError:
    return OpsError(f"cannot read {path} ({why})", code="file.unreadable", hint="check its owner and content")
