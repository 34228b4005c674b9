# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Makes envelopes.json: known answers for every layout, with cryptography alone and no randomness.

python tests/vectors/generate.py > tests/vectors/envelopes.json
"""

from __future__ import annotations

import base64
import hashlib
import json
from itertools import product
from typing import Any

from cryptography.hazmat.primitives.ciphers.aead import AESGCM

RECORDS = (
    ("65f0c0ffee0000000000beef", "encrypted_key"),
    ("licence", "encrypted_licence"),
    ("42", "totp.encrypted_seed"),
    ("z\u00f6ne", "encrypted_value"),
)
PAYLOADS = (b"", b"x", bytes(range(32)), b"0123456789abcdef" * 20)
ENCODE = {"binary": bytes.hex, "hex": bytes.hex, "base64": lambda raw: base64.b64encode(raw).decode()}


def fixed(label: str, length: int) -> bytes:
    """Return bytes that look random and are always the same."""
    return hashlib.shake_256(label.encode()).digest(length)


def vector(number: int, encoding: str, iv: str, aad: str, version: int) -> dict[str, Any]:
    record_id, field = RECORDS[number % len(RECORDS)]
    plaintext = PAYLOADS[number // len(RECORDS) % len(PAYLOADS)]
    name = f"{encoding}/iv-{iv}/aad-{aad}"
    kek, dek = fixed(f"kek {version}", 32), fixed(f"dek {number} {name}", 32)
    nonce = fixed(f"nonce {number} {name}", 12)
    wrap_iv = nonce if iv == "shared" else fixed(f"iv {number} {name}", 12)
    context = hashlib.sha256((record_id + field).encode()).digest()
    wrap = AESGCM(kek).encrypt(wrap_iv, dek, context if aad == "record-field" else None)
    ciphertext = AESGCM(dek).encrypt(nonce, plaintext, None if aad == "none" else context)
    encode = ENCODE[encoding]
    return {
        "name": f"{name} {number}", "layout": name, "kek": kek.hex(), "kek_version": version, "record_id": record_id,
        "field": field, "plaintext": plaintext.hex(), "encoding": encoding,
        "wrapped_dek": encode(wrap if iv == "shared" else wrap_iv + wrap), "nonce": encode(nonce),
        "ciphertext": encode(ciphertext),
    }  # fmt: skip


def main() -> None:
    axes = product(("binary", "base64", "hex"), ("first", "shared"), ("record-field", "payload-only", "none"))
    made = []
    for index, (encoding, iv, aad) in enumerate(axes):
        made += [vector(number, encoding, iv, aad, 1 + index % 3) for number in range(len(RECORDS) * len(PAYLOADS))]
    print(json.dumps(made, indent=1))


if __name__ == "__main__":
    main()
