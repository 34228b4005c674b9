# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""PEM as people and programs keep it: text before it, CRLF, several blocks; and DER where PEM was expected.

Source: RFC 7468 (labels, lax parsing), RFC 1421 section 4.6 (headers of an encrypted key).
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Iterator
from dataclasses import dataclass, field

_BLOCK = re.compile(rb"-----BEGIN ([A-Z0-9 ]{1,40})-----(.*?)-----END \1-----", re.DOTALL)
_WIDTH = 64  # characters a line
_SEQUENCE, _INTEGER = 0x30, 0x02


@dataclass(frozen=True, slots=True)
class Block:
    """label: between BEGIN and the dashes. der: what is encoded; empty where headers say that it is encrypted."""

    label: str
    der: bytes = field(repr=False)
    has_headers: bool = False


def blocks(content: bytes) -> Iterator[Block]:
    """Yield the blocks in a text, in order. Raises ValueError where one is not base64."""
    for found in _BLOCK.finditer(content):
        label, body = found[1].decode("ascii"), found[2]
        if b":" in body:
            yield Block(label, b"", has_headers=True)
            continue
        try:
            yield Block(label, base64.b64decode(b"".join(body.split()), validate=True))
        except binascii.Error:
            raise ValueError(f"a block {label} is not base64") from None


def encoded(label: str, der: bytes) -> bytes:
    """Return a block with lines of 64 characters, each ended by LF."""
    text = base64.b64encode(der)
    lines = [text[start : start + _WIDTH] for start in range(0, len(text), _WIDTH)]
    name = label.encode("ascii")
    return b"".join(
        [b"-----BEGIN ", name, b"-----\n", *(line + b"\n" for line in lines), b"-----END ", name, b"-----\n"]
    )


def is_der(content: bytes) -> bool:
    """Return whether bytes are one whole DER sequence, as a certificate or key without PEM around it is."""
    cut = _element(content, 0)
    return cut is not None and content[0] == _SEQUENCE and cut[1] == len(content)


def is_pkcs8(der: bytes) -> bool:
    """Return whether DER is a PrivateKeyInfo: version, then a sequence that names the algorithm (RFC 5958)."""
    outer = _element(der, 0)
    version = _element(der, outer[0]) if outer is not None else None
    if version is None or outer is None or der[outer[0]] != _INTEGER or version[1] >= len(der):
        return False
    return der[version[1]] == _SEQUENCE


def _element(der: bytes, start: int) -> tuple[int, int] | None:
    """Return (where the value begins, where it ends) of the element at a place, None where there is none."""
    if start + 2 > len(der):
        return None
    length, begin = der[start + 1], start + 2
    if length & 0x80:
        size = length & 0x7F
        if not 1 <= size <= 4 or begin + size > len(der):
            return None
        length, begin = int.from_bytes(der[begin : begin + size], "big"), begin + size
    return (begin, begin + length) if begin + length <= len(der) else None
