# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Files of dumps as streams: opened by the one opener, unpacked and decrypted on the way, cut into BSON documents.

Sizes are looked at before anything is held: a document is at most what a server keeps, and what was packed may not grow
without end.
"""

from __future__ import annotations

import gzip
import io
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

from .._domain.errors import OpsError
from .._domain.file_failures import failures_of
from .._store import sealed_file
from .._store.age_keys import Identity
from .._store.bson_pieces import BsonPieces
from .._store.opener import open_trusted

GZIP = b"\x1f\x8b"
_PIECE = 1024 * 1024  # bytes
_GROWTH, _GROWN = 200, 1024 * 1024 * 1024  # records of services grow to some 5 to 50 times their size; bytes


def damaged(path: Path, found: str) -> OpsError:
    """Return the failure for a file of a dump that is not what a dump holds."""
    return OpsError(
        f"{path} is damaged: {found}",
        code="restore.damaged",
        hint="take it from another copy of the dump, or another dump; nothing was written",
    )


class Unpacked(io.RawIOBase):
    """What a gzip file holds, at most so much of it as a dump packs."""

    def __init__(self, path: Path, raw: BinaryIO) -> None:
        super().__init__()
        self._path, self._raw = path, raw
        self._packed = gzip.GzipFile(fileobj=raw)
        self._passed = 0

    def read(self, size: int = -1, /) -> bytes:
        try:
            piece = self._packed.read(min(size, _PIECE) if size >= 0 else _PIECE)
        except (EOFError, gzip.BadGzipFile, zlib.error):
            raise damaged(self._path, "what it has packed does not unpack, or its end is missing") from None
        self._passed += len(piece)
        if self._passed > _GROWN and self._passed > _GROWTH * self._raw.tell():
            raise OpsError(
                f"{self._path} unpacks to more than {_GROWTH} times its size, which no dump of records does",
                code="restore.grows",
                hint="look at it with `gzip --list`; where it is right, unpack it first and restore that",
            )
        return piece


def each_piece(
    path: Path, on_piece: Callable[[bytes], None], *, identity: Identity | None, service_uid: int | None
) -> None:
    """Call `on_piece` with what a file holds, unpacked where its name ends in .gz and decrypted where it ends in .age.

    Raises OpsError restore.damaged, restore.grows, restore.no_identity, file.*, and what `sealed_file.read` raises.
    """
    with open_trusted(path, private=False, service_uid=service_uid) as raw, failures_of(path, writing=False):
        if path.name.endswith(sealed_file.SUFFIX):
            sealed_file.read(path, raw, require_identity(path, identity), on_piece, damaged=_sealed_damaged)
            return
        source = Unpacked(path, raw) if path.name.endswith(".gz") else raw
        while piece := source.read(_PIECE):
            on_piece(piece)


def require_identity(path: Path, identity: Identity | None) -> Identity:
    if identity is None:
        raise OpsError(
            f"{path} is encrypted, and no identity is given",
            code="restore.no_identity",
            hint="give the file of the age identity that opens it as `identity_file`",
        )
    return identity


def whole(path: Path, *, at_most: int, identity: Identity | None, service_uid: int | None) -> bytes:
    """Return what a small file holds. Raises what `each_piece` raises; restore.damaged where it is no small file."""
    held = bytearray()

    def keep(piece: bytes) -> None:
        held.extend(piece)
        if len(held) > at_most:
            raise damaged(path, f"it holds more than {at_most} bytes")

    each_piece(path, keep, identity=identity, service_uid=service_uid)
    return bytes(held)


def documents(path: Path, on_document: Callable[[bytes], None]) -> BsonPieces:
    """Return what cuts the pieces of a dump's file into documents. Raises, as it does, OpsError restore.damaged."""
    return BsonPieces(on_document, lambda found: damaged(path, found))


def _sealed_damaged(path: Path, found: str) -> OpsError:
    return OpsError(
        f"{path} is damaged: {found}",
        code="backup.damaged",
        hint="take it from another copy of the backup; nothing was written",
    )
