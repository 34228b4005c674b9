# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How sealed bytes are laid out in a database, and which layout a database really uses.

The vendor documents neither the layout of `wrapped_dek` nor the exact AAD, so reading goes through a short list of
named layouts and the choice is made by authentication: GCM opens under one of them or none. A layout is detected on a
sample and then held to; see ADR-0002. Nothing here performs I/O.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
from dataclasses import dataclass
from itertools import product

from .envelope import Envelope
from .errors import OpsError

IV_LENGTH = 12  # bytes
TAGGED_DEK_LENGTH = 48  # bytes: DEK 32 + tag 16


@dataclass(frozen=True, slots=True)
class Layout:
    """encoding: binary | base64 | hex. iv: first (in wrapped_dek) | shared (the payload's nonce).

    aad: record-field (bound to payload and wrap) | payload-only | none.
    """

    encoding: str
    iv: str
    aad: str

    @property
    def name(self) -> str:
        return f"{self.encoding}/iv-{self.iv}/aad-{self.aad}"

    def payload_aad(self, record_id: str, field_path: str) -> bytes:
        """Return SHA-256(record id + field path), 32 bytes, or b"" where the layout binds no context."""
        return b"" if self.aad == "none" else context_digest(record_id, field_path)

    def wrap_aad(self, record_id: str, field_path: str) -> bytes:
        """Return the bytes bound to the wrap of the DEK; the KEK version is never among them (T2)."""
        return context_digest(record_id, field_path) if self.aad == "record-field" else b""

    def wrapped(self, envelope: Envelope) -> bytes | None:
        """Return `iv + encrypted DEK + tag` (60 bytes), None when the stored form is not of this layout."""
        stored: bytes | None
        if self.encoding == "binary":  # the plain case of `decode`, without the call: it is made for each envelope
            stored = envelope.wrapped_dek if isinstance(envelope.wrapped_dek, bytes) else None
        else:
            stored = self.decode(envelope.wrapped_dek)
        if stored is None:
            return None
        if self.iv == "shared":
            nonce = self.decode(envelope.nonce)
            stored = nonce + stored if nonce is not None and len(nonce) == IV_LENGTH else b""
        return stored if len(stored) == IV_LENGTH + TAGGED_DEK_LENGTH else None

    def stored_wrap(self, wrapped: bytes) -> bytes | str:
        """Return the form of a 60-byte wrap that this layout keeps in `wrapped_dek`."""
        stored = wrapped[IV_LENGTH:] if self.iv == "shared" else wrapped
        return stored if self.encoding == "binary" else self.encode(stored)

    def decode(self, stored: bytes | str) -> bytes | None:
        """Return raw bytes, None when the stored form is not in this layout's encoding."""
        if self.encoding == "binary":
            return stored if isinstance(stored, bytes) else None
        if not isinstance(stored, str):
            return None
        try:
            if self.encoding == "hex":
                return bytes.fromhex(stored)
            return base64.b64decode(stored, validate=True)
        except (ValueError, binascii.Error):
            return None

    def encode(self, raw: bytes) -> bytes | str:
        """Return raw bytes in this layout's encoding."""
        if self.encoding == "hex":
            return raw.hex()
        if self.encoding == "base64":
            return base64.b64encode(raw).decode("ascii")
        return raw


LAYOUTS = tuple(
    Layout(*axes)
    for axes in product(("binary", "base64", "hex"), ("first", "shared"), ("record-field", "payload-only", "none"))
)
DEFAULT = LAYOUTS[0]  # what this collection writes into a database that has no layout of its own yet


class LayoutUndetected(OpsError):
    """No layout opens the sampled envelopes, or two layouts open different ones; what was tried is listed."""

    CODE = "layout.undetected"


# WHY a copy of it each time: to look the algorithm up takes as long as to hash so few bytes.
_SHA_256 = hashlib.sha256()


def context_digest(record_id: str, field_path: str) -> bytes:
    """Return SHA-256(record_id + field_path) in UTF-8, 32 bytes. Source: vendor's architecture page, ADR-0002."""
    digest = _SHA_256.copy()
    digest.update((record_id + field_path).encode())
    return digest.digest()


def by_name(name: str) -> Layout:
    """Return the layout of that name. Raises OpsError layout.unknown."""
    for layout in LAYOUTS:
        if layout.name == name:
            return layout
    known = ", ".join(layout.name for layout in LAYOUTS)
    raise OpsError(
        f'unknown layout "{name}"', code="layout.unknown", hint=f"this version of the collection knows: {known}"
    )


def candidates(envelope: Envelope) -> tuple[Layout, ...]:
    """Return the layouts whose stored form fits this envelope, best guess first."""
    return tuple(layout for layout in LAYOUTS if layout.wrapped(envelope) is not None)


def undetected(sample_size: int, tried: tuple[tuple[str, int], ...]) -> LayoutUndetected:
    """Return the refusal for a sample that no layout opens completely. tried: (layout name, envelopes it opened)."""
    listed = ", ".join(f"{name} opened {opened}" for name, opened in tried) or "none fits the stored form"
    return LayoutUndetected(
        f"no layout opens all {sample_size} sampled envelopes: {listed}",
        hint="the KEK is not the one that sealed them, they were altered, or this release does not know their layout; "
        "compare check values with kek_info",
        tried=[{"layout": name, "opened": opened} for name, opened in tried],
    )
