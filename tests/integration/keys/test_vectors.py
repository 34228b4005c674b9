# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The known-answer vectors with their KEK inside a token: opened by us, and by the oracle, to the same plaintext."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

from ansible_collections.certautopilot.ops.plugins.module_utils._domain.catalogue import Found
from ansible_collections.certautopilot.ops.plugins.module_utils._domain.envelope import parse
from ansible_collections.certautopilot.ops.plugins.module_utils._domain.envelope_layout import DEFAULT
from ansible_collections.certautopilot.ops.plugins.module_utils._installation.sealing import Sealing
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from tests.integration.keys.conftest import reference

VECTORS = json.loads((Path(__file__).resolve().parents[2] / "vectors" / "envelopes.json").read_text())
OURS = [vector for vector in VECTORS if vector["layout"] == DEFAULT.name]


def test_vectors_open_with_a_key_in_the_token(hsm, opened):
    version = OURS[0]["kek_version"]
    named = reference(version)
    hsm.oracle("make", label=named.label, id=named.key_id.hex(), value=OURS[0]["kek"])
    provider = opened()
    provider.load({version: named})
    items = []
    for vector in OURS:
        sealed = {name: bytes.fromhex(vector[name]) for name in ("wrapped_dek", "nonce", "ciphertext")}
        envelope = parse({**sealed, "kek_version": version, "provider": "pkcs11"})
        items.append((Found("c", vector["record_id"], tuple(vector["field"].split(".")), {}), envelope))

    ours = Sealing(provider, DEFAULT).open_all(items)
    theirs = [by_oracle(hsm, named.label, vector) for vector in OURS]

    assert ours == [bytes.fromhex(vector["plaintext"]) for vector in OURS]
    assert theirs == ours


def by_oracle(hsm, label, vector):
    """Return the plaintext: the DEK opened by PyKCS11, the payload by cryptography."""
    aad = hashlib.sha256((vector["record_id"] + vector["field"]).encode()).digest()
    (dek,) = hsm.oracle("open", label=label, wraps=[vector["wrapped_dek"]], aad=aad.hex())
    nonce, ciphertext = bytes.fromhex(vector["nonce"]), bytes.fromhex(vector["ciphertext"])
    return AESGCM(bytes.fromhex(dek)).decrypt(nonce, ciphertext, aad)
