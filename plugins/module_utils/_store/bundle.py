# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Bundles on disk: a stream of BSON frames inside one age file, written and read in constant memory.

Frame 0 is the header, then one frame per record, then the end frame; each has its number. The plain `age` tool opens
the file and `bsondump` lists the frames. No plaintext ever reaches a disk. ADR-0008.
"""

from __future__ import annotations

import hashlib
import io
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import BinaryIO, TypeAlias

from .._domain.errors import FileMissing, OpsError
from . import sealed_file
from .age_keys import Identity, Recipient
from .bson_pieces import BsonPieces
from .driver import Document
from .opener import open_trusted
from .record_bytes import decode, encode

OnFrame: TypeAlias = Callable[[Document, int], None]
"""Called with a frame and its size in bytes."""

_PIECE = 1024 * 1024  # bytes
MAX_FRAME = 64 * 1024 * 1024  # bytes: a record is at most 16 MiB in MongoDB, its sealed fields shrink when opened


def write(path: Path, frames: Iterator[Document], recipients: Sequence[Recipient]) -> str:
    """Encrypt the frames into a new 0600 file, synced to disk; return its SHA-256 in hex. Raises OpsError file.*."""
    return sealed_file.write(path, map(encode, frames), recipients)


class RecordsFile:
    """The encrypted file of a bundle, opened once. WHY: a path that is opened again may lead to another file (X8)."""

    def __init__(self, path: Path, *, service_uid: int | None = None) -> None:
        """Open it. Raises OpsError bundle.missing, file.*."""
        self.path = path
        try:
            self._raw = open_trusted(path, private=False, service_uid=service_uid)
        except FileMissing:
            raise _missing(path) from None

    def close(self) -> None:
        self._raw.close()

    def read(self, identity: Identity, on_frame: OnFrame) -> str:
        """Decrypt the file from its beginning and call `on_frame` with each frame; return the SHA-256 of what was read.

        Raises OpsError bundle.wrong_recipient, bundle.damaged, and whatever `on_frame` raises.
        """
        self._raw.seek(0)
        source = _HashedSource(self._raw)
        frames = BsonPieces(lambda raw: on_frame(self._decoded(raw), len(raw)), self._damaged, largest=MAX_FRAME)
        sealed_file.read(self.path, source, identity, frames.add, damaged=damaged)
        frames.finish()
        source.readall()  # WHY: what stands behind the last chunk is part of the file, and of its hash
        return source.digest.hexdigest()

    def _damaged(self, found: str) -> OpsError:
        return damaged(self.path, found)

    def _decoded(self, raw: bytes) -> Document:
        try:
            return decode(raw)
        except ValueError:
            raise self._damaged("a frame is not a BSON document") from None


def damaged(path: Path, found: str) -> OpsError:
    """Return the refusal for a truncated or altered bundle."""
    return OpsError(
        f"bundle {path} is damaged: {found}",
        code="bundle.damaged",
        hint="copy it again and compare its SHA-256 with the manifest, or export again; nothing was written",
    )


def _missing(path: Path) -> OpsError:
    return OpsError(f"no bundle at {path}", code="bundle.missing", hint="export it or copy it again")


class _HashedSource(io.RawIOBase):
    """A file that hashes what is read from it."""

    def __init__(self, raw: BinaryIO) -> None:
        super().__init__()
        self._raw = raw
        self.digest = hashlib.sha256()

    def read(self, size: int = -1, /) -> bytes:
        chunk = self._raw.read(size)
        self.digest.update(chunk)
        return chunk

    def readall(self) -> bytes:
        """Read to the end, in pieces; nothing of it is kept."""
        while self.read(_PIECE):
            pass
        return b""
