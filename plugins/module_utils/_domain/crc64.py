# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""CRC-64 as archives of mongodump and .xz files have it (ECMA-182, bits reversed, inverted at both ends). Pure.

WHY by way of liblzma: Python has no CRC-64 of its own, and one in Python does some 5 MB/s. The documents are wrapped as
an .xz stream that does not compress, whose reader compares the CRC at its end. Source: "The .xz File Format" 1.2.0.
"""

from __future__ import annotations

import zlib

try:
    import lzma
except ImportError:  # a Python that was built without liblzma
    lzma = None  # type: ignore[assignment]

_POLYNOMIAL = 0xC96C5795D7870F42
_FLAGS = b"\x00\x04"  # the check is a CRC-64
_STREAM = b"\xfd7zXZ\x00" + _FLAGS + zlib.crc32(_FLAGS).to_bytes(4, "little")
_BLOCK = b"\x02\x00\x21\x01\x00\x00\x00\x00"  # 12 bytes of header, one filter, LZMA2 with the smallest dictionary
_CHUNK = 65536  # bytes: the most that an LZMA2 chunk holds
_FIRST, _NEXT, _END = (
    b"\x01",
    b"\x02",
    b"\x00",
)  # of LZMA2: chunks as they are, and no more


class Crc64:
    """The CRC of bytes that are added one after the other."""

    def __init__(self) -> None:
        self._plain = _Plain() if lzma is None else None
        self._reader = None if lzma is None else lzma.LZMADecompressor(lzma.FORMAT_XZ)
        self._pending = bytearray(_STREAM + _BLOCK + zlib.crc32(_BLOCK).to_bytes(4, "little"))
        self._control = _FIRST
        self._passed = self._feed(b"")  # bytes of the block's data
        self._kept = bytearray()

    def add(self, piece: bytes) -> None:
        if self._plain is not None:
            self._plain.add(piece)
            return
        self._kept += piece
        while len(self._kept) >= _CHUNK:
            self._chunk(bytes(self._kept[:_CHUNK]))
            del self._kept[:_CHUNK]

    def is_(self, expected: int) -> bool:
        """Return whether this is the CRC of all that was added. Asked once; nothing is added afterwards."""
        if self._plain is not None:
            return self._plain.value == expected
        if self._kept:
            self._chunk(bytes(self._kept))
        padding = b"\x00" * (-(self._passed + len(_END)) % 4)
        try:
            self._feed(_END + padding + expected.to_bytes(8, "little"))
        except lzma.LZMAError:
            return False
        return True

    def _chunk(self, data: bytes) -> None:
        head = self._control + (len(data) - 1).to_bytes(2, "big")
        self._control = _NEXT
        self._passed += self._feed(head + data)

    def _feed(self, piece: bytes) -> int:
        if self._reader is not None:
            self._reader.decompress(bytes(self._pending) + piece)
            self._pending.clear()
        return len(piece)


class _Plain:
    """The same in Python, slowly."""

    _table: tuple[int, ...] = ()

    def __init__(self) -> None:
        self._state = 0xFFFF_FFFF_FFFF_FFFF
        if not _Plain._table:
            _Plain._table = tuple(_entry(number) for number in range(256))

    def add(self, piece: bytes) -> None:
        state, table = self._state, self._table
        for byte in piece:
            state = table[(state ^ byte) & 0xFF] ^ (state >> 8)
        self._state = state

    @property
    def value(self) -> int:
        return self._state ^ 0xFFFF_FFFF_FFFF_FFFF


def _entry(number: int) -> int:
    for _bit in range(8):
        number = (number >> 1) ^ (_POLYNOMIAL if number & 1 else 0)
    return number
