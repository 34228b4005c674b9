# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One file encrypted to age recipients, written from a stream and read as a stream: no plaintext reaches a disk.

What is in it leaves piece by piece, each authenticated, and that the end is missing is known at the end only: whoever
acts on pieces has to have read the file once before.
"""

from __future__ import annotations

import hashlib
import io
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import BinaryIO

from .._domain.errors import OpsError
from .._domain.file_failures import failures_of
from .age_keys import Identity, Recipient
from .private_files import new_file

try:
    import pyrage
except ImportError:  # reported by name in _module/dependencies.py
    pyrage = None

SUFFIX = ".age"


def write(path: Path, pieces: Iterable[bytes], recipients: Sequence[Recipient]) -> str:
    """Encrypt pieces into a new 0600 file, synced to disk; return its SHA-256 in hex. Raises OpsError file.*."""
    with failures_of(path), new_file(path) as raw:
        source, sink = _Pieces(iter(pieces)), _Hashing(raw)
        try:
            pyrage.encrypt_io(source, sink, list(recipients))
        except (pyrage.EncryptError, OSError):
            # WHY: the binding raises its own in place of what failed, without code and errno.
            raise (
                source.failure
                or sink.failure
                or OpsError(
                    f"cannot write {path}: it cannot be encrypted", code="bundle.write_failed", hint="is the disk full?"
                )
            ) from None
        raw.flush()
        os.fsync(raw.fileno())
    return sink.digest.hexdigest()


def sealed(content: bytes, recipients: Sequence[Recipient]) -> bytes:
    """Return a small content encrypted, for a file that somebody else writes. Raises OpsError bundle.write_failed."""
    try:
        return bytes(pyrage.encrypt(content, list(recipients)))
    except pyrage.EncryptError:
        raise OpsError(
            "a file cannot be encrypted to the recipients", code="bundle.write_failed", hint="are they age public keys?"
        ) from None


def read(
    path: Path, raw: BinaryIO | io.RawIOBase, identity: Identity, on_piece: Callable[[bytes], None], *,
    damaged: Callable[[Path, str], OpsError],
) -> None:  # fmt: skip
    """Call `on_piece` with what an encrypted file holds. path: for messages. damaged: returns the failure for a file
    that is not what was written.

    Raises OpsError bundle.wrong_recipient, `damaged`, and whatever `on_piece` raises.
    """
    try:
        pyrage.decrypt_io(raw, _Caller(on_piece), [identity])
    except pyrage.DecryptError as cause:
        if "No matching keys" in str(cause):
            raise OpsError(
                f"{path} is encrypted for another recipient",
                code="bundle.wrong_recipient",
                hint="use the identity whose public key its manifest lists under recipients",
            ) from None
        raise damaged(path, "its age header cannot be read") from None
    except OSError:
        raise damaged(path, "a part of it does not authenticate, or the end is missing") from None


class _Pieces(io.RawIOBase):
    """A file that reads as the pieces of an iterator, one after the other."""

    def __init__(self, pieces: Iterator[bytes]) -> None:
        super().__init__()
        self._pieces = pieces
        self._pending = bytearray()
        self.failure: BaseException | None = None

    def read(self, size: int = -1, /) -> bytes:
        try:
            while size < 0 or len(self._pending) < size:
                self._pending += next(self._pieces)
        except StopIteration:
            pass
        except BaseException as failure:
            self.failure = failure
            raise
        cut = len(self._pending) if size < 0 else size
        piece = bytes(self._pending[:cut])
        del self._pending[:cut]
        return piece


class _Hashing:
    """A file that hashes what passes through it."""

    def __init__(self, raw: BinaryIO) -> None:
        self._raw = raw
        self.digest = hashlib.sha256()
        self.failure: BaseException | None = None

    def write(self, piece: bytes) -> int:
        self.digest.update(piece)
        try:
            self._raw.write(piece)
        except BaseException as failure:
            self.failure = failure
            raise
        return len(piece)

    def flush(self) -> None:
        self._raw.flush()


class _Caller:
    """A file that hands on what is written to it."""

    def __init__(self, on_piece: Callable[[bytes], None]) -> None:
        self._on_piece = on_piece

    def write(self, piece: bytes) -> int:
        self._on_piece(piece)
        return len(piece)

    def flush(self) -> None:
        pass
