# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""AES-256-GCM over payloads and digests of records: the only primitives of this floor.

KEKs never come here; they stay under `_keys`.
"""

from __future__ import annotations

import hmac
import os

try:
    from cryptography.exceptions import InvalidTag
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM
except ImportError:  # reported by name in _module/dependencies.py before anything runs
    pass

DEK_LENGTH = 32  # bytes: AES-256
NONCE_LENGTH = 12  # bytes: the 96 bits of NIST SP 800-38D section 8.2


def fresh_dek() -> bytes:
    """Return a new 32-byte data key from the system's generator."""
    return os.urandom(DEK_LENGTH)


def seal(dek: bytes, plaintext: bytes, aad: bytes, *, nonce: bytes | None = None) -> tuple[bytes, bytes]:
    """Return (nonce of 12 bytes, ciphertext with the 16-byte tag appended).

    nonce: given only by layouts whose wrap and payload share one; it is fresh there too, made with the wrap.

    SAFE BECAUSE a random nonce meets its key once: every record field gets a DEK of its own. It would not be safe for
    a key that seals many payloads.
    """
    nonce = os.urandom(NONCE_LENGTH) if nonce is None else nonce
    return nonce, AESGCM(dek).encrypt(nonce, plaintext, aad or None)


def open_sealed(dek: bytes, nonce: bytes, ciphertext: bytes, aad: bytes) -> bytes | None:
    """Return the payload, or None when it does not authenticate (wrong key, context or bytes: not told apart)."""
    try:
        return AESGCM(dek).decrypt(nonce, ciphertext, aad or None)
    except (InvalidTag, ValueError):
        return None


def mac(key: bytes, content: bytes) -> bytes:
    """Return HMAC-SHA-256 of one content under a key that is used for nothing else. RFC 2104."""
    return hmac.digest(key, content, "sha256")


def keyed_digest(key: bytes, *parts: bytes) -> bytes:
    """Return HMAC-SHA-256 over the parts, each framed by its length (8 bytes, big endian). RFC 2104."""
    framed = [piece for part in parts for piece in (len(part).to_bytes(8, "big"), part)]
    return hmac.digest(key, b"".join(framed), "sha256")  # one call: an HMAC object takes three times as long
