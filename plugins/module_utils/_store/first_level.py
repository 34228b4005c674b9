# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One field of a record's first level, read from its bytes: nothing is decoded, what comes after it is not looked at.

It is asked of every record that travels, so it must cost next to nothing: 2 us where the field is near the front.
"""

from __future__ import annotations

# Bytes of a value by its type; for types that begin with their length, what else belongs to it. Source: bsonspec.org.
_FIXED = {
    0x01: 8, 0x06: 0, 0x07: 12, 0x08: 1, 0x09: 8, 0x0A: 0, 0x10: 4, 0x11: 8, 0x12: 8, 0x13: 16, 0x7F: 0, 0xFF: 0,
}  # fmt: skip
_SIZED = {0x02: 4, 0x03: 0, 0x04: 0, 0x05: 5, 0x0D: 4, 0x0E: 4, 0x0F: 0}
_TEXT, _OBJECT_ID, _INTEGERS = 0x02, 0x07, (0x10, 0x12)


def id_text(raw: bytes, name: str) -> str:
    """Return a field's value as the canonical text of an id: 24 hex characters, the text itself, a decimal number.

    raw: a record's BSON. "" where the field is missing, of another type, or where the bytes are no document.
    """
    try:
        kind, value = _value(raw, name.encode())
    except (ValueError, IndexError):
        return ""
    if kind == _OBJECT_ID:
        return value.hex()
    if kind == _TEXT:
        return value[4:-1].decode("utf-8", "replace")
    return str(int.from_bytes(value, "little", signed=True)) if kind in _INTEGERS else ""


def _value(raw: bytes, name: bytes) -> tuple[int, bytes]:
    """Return (type, bytes of the value), (0, b"") for none. Raises ValueError, IndexError at damaged bytes."""
    if name not in raw:
        return 0, b""
    at = 4
    while kind := raw[at]:
        end = raw.index(0, at + 1)
        size = _FIXED.get(kind)
        if size is None:
            if kind not in _SIZED:
                return 0, b""  # a regular expression, or what no release knows
            size = int.from_bytes(raw[end + 1 : end + 5], "little") + _SIZED[kind]
        if raw[at + 1 : end] == name:
            return kind, raw[end + 1 : end + 1 + size]
        at = end + 1 + size
    return 0, b""
