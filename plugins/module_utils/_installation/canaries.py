# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Canaries made and opened: a KEK that does not open its version's canary is the wrong key (T23)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from .._domain import aead, canary, envelope_layout
from .._domain.envelope import parse
from .._domain.errors import OpsError
from .._keys.provider import KeyFailure, Provider, UnwrapRequest, WrapRequest
from .._store.keystore import KeyRow, Keystore
from .refusals import wrong_key


def prove_canaries(provider: Provider, keys: Keystore) -> None:
    """Raises OpsError key.not_loaded for an active version without key, key.wrong for a key that opens no canary (T23).

    A row without canary (a foreign keystore) is proven later, by the envelopes themselves.
    """
    loaded = provider.versions()
    if keys.active is not None and keys.active.version not in loaded:
        raise OpsError(
            f"active KEK version {keys.active.version} is not loaded; loaded: {list(loaded) or 'none'}",
            code="key.not_loaded",
            hint="give this host the KEK of the active version (secrets.env or the HSM token) before anything else",
        )
    for version, row in keys.rows.items():
        if version in loaded and row.canary is not None and not opens_canary(provider, row):
            raise wrong_key(provider, row)


def opens_canary(provider: Provider, row: KeyRow) -> bool:
    """True when the provider's key of this version opens the row's canary."""
    return canary_dek(provider, row) is not None


def canary_dek(provider: Provider, row: KeyRow) -> bytes | None:
    """Return the data key of a row's canary, None when the provider's key does not open it."""
    envelope = parse(row.canary)
    wrapped = envelope_layout.DEFAULT.wrapped(envelope)
    nonce, ciphertext = (
        envelope_layout.DEFAULT.decode(envelope.nonce),
        envelope_layout.DEFAULT.decode(envelope.ciphertext),
    )
    if wrapped is None or nonce is None or ciphertext is None:
        return None
    context = envelope_layout.context_digest(canary.record_id(row.version), canary.FIELD)
    dek = provider.unwrap([UnwrapRequest(row.version, wrapped, context)])[0]
    if not isinstance(dek, bytes) or aead.open_sealed(dek, nonce, ciphertext, context) != canary.PLAINTEXT:
        return None
    return dek


def canary_tag(provider: Provider, row: KeyRow) -> str | None:
    """Return 16 hex characters that tell a key where its token shows no check value; None for a key that opens nothing.

    Whoever holds the key can work it out again: an HMAC under the data key of the version's canary.
    """
    dek = canary_dek(provider, row) if row.canary is not None else None
    text = f"canary tag of KEK version {row.version}".encode()
    return None if dek is None else aead.keyed_digest(dek, text).hex()[:16]


def make_canary(provider: Provider, version: int) -> dict[str, Any]:
    """Return a new canary envelope under this version. Raises OpsError key.unusable when the key cannot wrap."""
    context = envelope_layout.context_digest(canary.record_id(version), canary.FIELD)
    dek = aead.fresh_dek()
    nonce, ciphertext = aead.seal(dek, canary.PLAINTEXT, context)
    wrapped = provider.wrap(version, [WrapRequest(dek, context)])[0]
    if isinstance(wrapped, KeyFailure):
        raise OpsError(
            f"the key of KEK version {version} cannot wrap ({wrapped.reason})",
            code="key.unusable",
            hint="check that the key may encrypt and decrypt with AES-GCM; kek_pkcs11_init shows the probe",
        )
    return {
        "wrapped_dek": wrapped,
        "nonce": nonce,
        "ciphertext": ciphertext,
        "kek_version": version,
        "kv": version,
        "provider": provider.name,
    }


def key_facts(provider: Provider, version: int, located: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """Return the `key` part of a keystore row: where the key is and its check value."""
    return {**(located or {}), "check_value": provider.check_value(version)}


def with_tag(provider: Provider, row: KeyRow) -> KeyRow:
    """Return the row of a new key, with the canary's tag where the token shows no check value (X55)."""
    if row.key.get("check_value"):
        return row
    return replace(row, key={**row.key, "canary_tag": canary_tag(provider, row)})
