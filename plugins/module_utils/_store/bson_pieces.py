# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Pieces of a stream cut into BSON documents, which are not decoded. Sizes are looked at before anything is held."""

from __future__ import annotations

from collections.abc import Callable

from .._domain.errors import OpsError

LENGTH = 4  # bytes: a BSON document begins with its size, int32 little endian
SMALLEST = 5  # bytes: of an empty document
LARGEST = 16 * 1024 * 1024 + 16 * 1024  # bytes of a record: what servers keep, and what they add of their own


class BsonPieces:
    """Cuts what is added into documents and hands each on."""

    def __init__(
        self, on_document: Callable[[bytes], None], refusal: Callable[[str], OpsError], *, largest: int = LARGEST
    ) -> None:
        """refusal: returns the failure for what is no document, told in words. largest: bytes of a document."""
        self._on_document, self._refusal, self._largest = on_document, refusal, largest
        self._pending = bytearray()

    def add(self, piece: bytes) -> None:
        """Take the next piece. Raises the refusal, and whatever `on_document` raises."""
        self._pending += piece
        start = 0
        while len(self._pending) - start >= LENGTH:
            size = self.size_of(self._pending[start : start + LENGTH])
            if len(self._pending) - start < size:
                break
            self._on_document(self.ended(bytes(self._pending[start : start + size])))
            start += size
        del self._pending[:start]

    def finish(self) -> None:
        """Raises the refusal where the stream ended inside a document."""
        if self._pending:
            raise self._refusal("it ends inside a document")

    def size_of(self, head: bytes | bytearray) -> int:
        """Return the size of a document from its first LENGTH bytes."""
        size = int.from_bytes(head, "little")
        if not SMALLEST <= size <= self._largest:
            raise self._refusal(f"a document of {size} bytes in it is none")
        return size

    def ended(self, raw: bytes) -> bytes:
        """Return a document that ends as documents do."""
        if raw[-1]:
            raise self._refusal("a document in it has no end")
        return raw
