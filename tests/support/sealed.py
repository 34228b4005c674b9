# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Envelopes made without our code, for tests that need exact ones or broken ones.

Layout of the contract: AES-256-GCM, AAD = SHA-256(record id + field path) on payload and wrap, IV first.
"""

from __future__ import annotations

import hashlib
import os
from typing import Any

from bson import ObjectId
from cryptography.hazmat.primitives.ciphers.aead import AESGCM


def envelope(kek: bytes, record_id: Any, field: str, plaintext: bytes, *, version: int = 1) -> dict[str, Any]:
    """Return a sealed envelope for one field of one record under an env KEK."""
    aad = hashlib.sha256((str(record_id) + field).encode()).digest()
    dek, nonce, iv = os.urandom(32), os.urandom(12), os.urandom(12)
    return {
        "wrapped_dek": iv + AESGCM(kek).encrypt(iv, dek, aad),
        "nonce": nonce,
        "ciphertext": AESGCM(dek).encrypt(nonce, plaintext, aad),
        "kek_version": version,
        "kv": version,
        "provider": "env",
    }


def plaintext_of(kek: bytes, record_id: Any, field: str, sealed: dict[str, Any]) -> bytes:
    """Return the payload. Raises cryptography's InvalidTag where it does not open."""
    aad = hashlib.sha256((str(record_id) + field).encode()).digest()
    dek = AESGCM(kek).decrypt(sealed["wrapped_dek"][:12], sealed["wrapped_dek"][12:], aad)
    return AESGCM(dek).decrypt(sealed["nonce"], sealed["ciphertext"], aad)


def credential(kek: bytes, plaintext: bytes, *, version: int = 1) -> dict[str, Any]:
    """Return a whole dns_credentials document."""
    record_id = ObjectId()
    return {
        "_id": record_id,
        "name": f"credential {record_id}",
        "encrypted_api_key": envelope(kek, record_id, "encrypted_api_key", plaintext, version=version),
        "kek_version": version,
    }
