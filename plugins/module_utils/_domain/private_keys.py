# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Private keys as the database holds them: read whatever form they have, kept as they were, matched by public key.

A key that is PKCS#8 already is passed on byte for byte: reading and writing it again would make an RSA-PSS key one of
plain RSA (X92). Source: RFC 5958 (PKCS#8), RFC 4055 section 1.2 (RSA-PSS keys).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from .certificate_source import Problem
from .library_refusals import REFUSED
from .pem_blocks import Block, blocks, encoded, is_der, is_pkcs8

try:
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives import serialization
    from cryptography.x509 import Certificate
except ImportError:  # reported by name in _module/dependencies.py before anything runs
    pass

LoadedKey: TypeAlias = Any
"""A private key as the library holds it, of any of its types."""

_PKCS8 = "PRIVATE KEY"
_RSA_PSS = bytes.fromhex("06092a864886f70d01010a")  # OBJECT IDENTIFIER 1.2.840.113549.1.1.10
_ALGORITHM_AT_MOST = 16  # bytes into PKCS#8, where the name of the algorithm begins


@dataclass(frozen=True, slots=True)
class PrivateKey:
    """pkcs8: DER, as it was where it was PKCS#8. loaded: by the library. public: SubjectPublicKeyInfo, DER."""

    pkcs8: bytes = field(repr=False)
    loaded: LoadedKey = field(repr=False)
    public: bytes

    def pem(self) -> bytes:
        return encoded(_PKCS8, self.pkcs8)

    @property
    def is_rsa_pss(self) -> bool:
        """Return whether it is one of RSASSA-PSS only, which the library would write as one of plain RSA."""
        return 0 < self.pkcs8.find(_RSA_PSS) < _ALGORITHM_AT_MOST


class _NoKey(Exception):
    """args: (code, what was found)."""


def fitting(certificate: Certificate, contents: Sequence[bytes]) -> PrivateKey | Problem:
    """Return the key of a certificate among what the database has for it, or why there is none (X90).

    contents: one for each key record, at least one; each may hold several keys.
    """
    try:
        wanted = public_of(certificate)
    except REFUSED:
        return Problem(
            "certificate.key_unsupported", "its certificate's public key is of a type that is not known here"
        )
    problems, others = list[Problem](), 0
    for content in contents:
        try:
            keys = _read(content)
        except _NoKey as why:
            problems.append(Problem(*why.args))
            continue
        for key in keys:
            if key.public == wanted:
                return key
        others += len(keys)
    if others:
        found = "its key is" if others == 1 else f"none of its {others} keys is"
        return Problem("certificate.key_mismatch", f"{found} {'not ' if others == 1 else ''}that of the certificate")
    return problems[0] if problems else Problem("certificate.key_malformed", "its key record is empty")


def public_of(certificate: Certificate) -> bytes:
    """Return the public key of a certificate as the library writes it, DER. Raises one of REFUSED."""
    return _public(certificate.public_key())


def _read(content: bytes) -> list[PrivateKey]:
    if is_der(content):
        return [_loaded(content, "its key")]
    try:
        found = [block for block in blocks(content) if block.label.endswith(_PKCS8)]
    except ValueError as cause:
        raise _NoKey("certificate.key_malformed", f"its key cannot be parsed: {cause}") from None
    if not found:
        raise _NoKey("certificate.key_malformed", "its key is neither PEM nor DER")
    return [_of_block(block) for block in found]


def _of_block(block: Block) -> PrivateKey:
    if block.has_headers or block.label.startswith("ENCRYPTED"):
        raise _NoKey("certificate.key_encrypted", "its key is encrypted with a passphrase that is not here")
    return _loaded(block.der, f"its {block.label}")


def _loaded(der: bytes, what: str) -> PrivateKey:
    try:
        key: LoadedKey = serialization.load_der_private_key(der, None)
        return PrivateKey(der if is_pkcs8(der) else _as_pkcs8(key), key, _public(key.public_key()))
    except TypeError:
        raise _NoKey("certificate.key_encrypted", f"{what} is encrypted with a passphrase that is not here") from None
    except UnsupportedAlgorithm:
        raise _NoKey("certificate.key_unsupported", f"{what} is of a type that is not known here") from None
    except ValueError:
        # SAFE BECAUSE the cause is dropped: it may quote what it read.
        raise _NoKey("certificate.key_malformed", f"{what} cannot be parsed") from None


def _as_pkcs8(key: LoadedKey) -> bytes:
    return bytes(
        key.private_bytes(serialization.Encoding.DER, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )


def _public(key: LoadedKey) -> bytes:
    return bytes(key.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo))
