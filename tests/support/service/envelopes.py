# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Sealing and opening one field, as the product does: fresh DEK, AAD of record id and field on payload and wrap."""

from __future__ import annotations

import hashlib
import os
from typing import Any

from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from .keks import Kek

# collection -> field path, as the product's documentation lists its sealed fields
SEALED_FIELDS = {
    "certificate_private_keys": "encrypted_key",
    "acme_accounts": "encrypted_private_key",
    "msca_connections": "encrypted_credentials",
    "dns_credentials": "encrypted_api_key",
    "module_credentials": "encrypted_value",
    "notification_channels": "encrypted_config",
    "users": "totp.encrypted_seed",
    "settings": "encrypted_licence",
}


def context(record_id: Any, field: str) -> bytes:
    return hashlib.sha256((str(record_id) + field).encode()).digest()


def seal(kek: Kek, version: int, provider: str, record_id: Any, field: str, plaintext: bytes) -> dict[str, Any]:
    """Return the envelope of one field."""
    aad, dek, nonce = context(record_id, field), os.urandom(32), os.urandom(12)
    return {
        "wrapped_dek": kek.wrap(dek, aad),
        "nonce": nonce,
        "ciphertext": AESGCM(dek).encrypt(nonce, plaintext, aad),
        "kek_version": version,
        "kv": version,
        "provider": provider,
    }


def open_sealed(kek: Kek, record_id: Any, field: str, envelope: dict[str, Any]) -> bytes:
    """Return the payload. Raises the library's exception when it does not authenticate."""
    aad = context(record_id, field)
    dek = kek.unwrap(bytes(envelope["wrapped_dek"]), aad)
    return AESGCM(dek).decrypt(bytes(envelope["nonce"]), bytes(envelope["ciphertext"]), aad)
