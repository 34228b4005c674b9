# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The sender's signature of a manifest: Ed25519 (RFC 8032) over the bytes of the file, detached, 64 bytes.

The manifest names the records by their digest, so the signature is of both. `openssl pkeyutl -verify` checks
it as well.
"""

from __future__ import annotations

from .errors import OpsError

try:
    from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
    from cryptography.hazmat.primitives.serialization import load_pem_private_key, load_pem_public_key
except ImportError:  # reported by name in _module/dependencies.py before anything runs
    pass

SIGNATURE_FILE = "manifest.json.sig"


class SigningKey:
    """A sender's private key, from PEM (PKCS #8, not encrypted)."""

    def __init__(self, pem: bytes, *, origin: str) -> None:
        """Raises OpsError bundle.signing_key_invalid."""
        try:
            key = load_pem_private_key(pem, password=None)
        except (ValueError, TypeError, UnsupportedAlgorithm):
            key = None
        if not isinstance(key, Ed25519PrivateKey):
            raise OpsError(
                f"{origin} is no private key of Ed25519 in PEM without a passphrase",
                code="bundle.signing_key_invalid",
                hint="make one with `openssl genpkey -algorithm ed25519`, mode 0600",
            )
        self._key = key

    def sign(self, content: bytes) -> bytes:
        """Return the signature, 64 bytes: the same for the same content."""
        return self._key.sign(content)


def require_signed(public_pem: str, signature: bytes, content: bytes, *, origin: str) -> None:
    """Raises OpsError bundle.sender_key_invalid, bundle.not_from_sender. public_pem: SubjectPublicKeyInfo in PEM."""
    try:
        key = load_pem_public_key(public_pem.encode())
    except (ValueError, TypeError, UnsupportedAlgorithm):
        key = None
    if not isinstance(key, Ed25519PublicKey):
        raise OpsError(
            "`sender_public_key` is no public key of Ed25519 in PEM",
            code="bundle.sender_key_invalid",
            hint="give what `openssl pkey -in KEY -pubout` prints of the sender's key",
        )
    try:
        key.verify(signature, content)
    except InvalidSignature:
        raise OpsError(
            f"{origin} is not signed by the sender whose key was given"
            + ("" if signature else f": there is no {SIGNATURE_FILE} beside it"),
            code="bundle.not_from_sender",
            hint="copy manifest and signature again, or export with the sender's `signing_key_file`",
        ) from None
