# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One certificate as the files operators know: cert.pem, chain.pem, fullchain.pem, key.pem, bundle.p12, bundle.zip.

Bytes in, bytes out. PKCS#12 and zip are compared by what they hold, because a fresh salt makes every PKCS#12 file
different. Source: vendor's download page (formats), RFC 5958 (PKCS#8), RFC 7292 (PKCS#12).
"""

from __future__ import annotations

import io
import re
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from .errors import OpsError
from .secret import Secret

try:
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.serialization import pkcs12
except ImportError:  # reported by name in _module/dependencies.py before anything runs
    pass

FORMATS = ("cert.pem", "chain.pem", "fullchain.pem", "key.pem", "bundle.p12", "bundle.zip")
KEY_BEARING = frozenset({"key.pem", "bundle.p12", "bundle.zip"})
_ZIP_EPOCH = (1980, 1, 1, 0, 0, 0)  # the earliest a zip entry can say: the same content gives the same bytes


@dataclass(frozen=True, slots=True)
class Material:
    """PEM text as the database holds it. key_pem: None for certificates whose key never was here (own CSR)."""

    name: str
    certificate_pem: str
    chain_pem: str
    key_pem: bytes | None = field(repr=False)


def build(material: Material, formats: Sequence[str], passphrase: Secret[bytes] | None) -> dict[str, bytes]:
    """Return file name -> content for the formats that this material allows. Raises OpsError certificate.malformed."""
    try:
        return _build(material, formats, passphrase)
    except (ValueError, TypeError) as cause:
        raise OpsError(
            f'certificate "{material.name}" or its key cannot be parsed ({type(cause).__name__})',
            code="certificate.malformed",
            hint="download it from the service, or issue it again",
        ) from None


def fingerprint(certificate_pem: str) -> str:
    """Return the SHA-256 fingerprint of the leaf in hex, "" where the PEM cannot be parsed."""
    try:
        return x509.load_pem_x509_certificate(certificate_pem.encode()).fingerprint(hashes.SHA256()).hex()
    except ValueError:
        return ""


def same(name: str, old: bytes, new: bytes, passphrase: Secret[bytes] | None) -> bool:
    """True when a file on disk already holds what would be written."""
    if old == new:
        return True
    if name == "bundle.p12":
        return _same_pkcs12(old, new, passphrase)
    if name == "bundle.zip":
        left, right = _members(old), _members(new)
        return left.keys() == right.keys() and all(same(n, left[n], right[n], passphrase) for n in left)
    return False


def safe_name(text: str) -> str:
    """Return a name usable as one path component: letters, digits, dot, dash, underscore; never "." or ".."."""
    cleaned = re.sub(r"[^A-Za-z0-9._-]+", "_", text.replace("*", "wildcard")).lstrip(".")[:100]
    return cleaned or "unnamed"


def _build(material: Material, formats: Sequence[str], passphrase: Secret[bytes] | None) -> dict[str, bytes]:
    leaf, chain = _pem(material.certificate_pem), _pem(material.chain_pem)
    x509.load_pem_x509_certificate(leaf)
    files = {"cert.pem": leaf, "fullchain.pem": leaf + chain}
    if chain:
        files["chain.pem"] = chain
    if material.key_pem is not None:
        key: Any = serialization.load_pem_private_key(material.key_pem, None)
        files["key.pem"] = key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        if passphrase is not None:
            certificates = x509.load_pem_x509_certificates(chain) if chain else []
            files["bundle.p12"] = pkcs12.serialize_key_and_certificates(
                material.name.encode(),
                key,
                x509.load_pem_x509_certificate(leaf),
                certificates,
                serialization.BestAvailableEncryption(passphrase.reveal()),
            )
        if "bundle.zip" in formats:
            files["bundle.zip"] = _zip(files)
    return {name: content for name, content in files.items() if name in formats}


def _pem(text: str) -> bytes:
    stripped = text.strip()
    return (stripped + "\n").encode() if stripped else b""


def _zip(files: Mapping[str, bytes]) -> bytes:
    raw = io.BytesIO()
    with zipfile.ZipFile(raw, "w", zipfile.ZIP_STORED) as archive:
        for name, content in sorted(files.items()):
            entry = zipfile.ZipInfo(name, _ZIP_EPOCH)
            entry.external_attr = 0o600 << 16
            archive.writestr(entry, content)
    return raw.getvalue()


def _members(content: bytes) -> dict[str, bytes]:
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            return {name: archive.read(name) for name in archive.namelist()}
    except zipfile.BadZipFile:
        return {}


def _same_pkcs12(old: bytes, new: bytes, passphrase: Secret[bytes] | None) -> bool:
    try:
        return _contents(old, passphrase) == _contents(new, passphrase)
    except ValueError:
        return False


def _contents(content: bytes, passphrase: Secret[bytes] | None) -> tuple[bytes, bytes, list[bytes]]:
    password = passphrase.reveal() if passphrase is not None else None
    key, leaf, chain = pkcs12.load_key_and_certificates(content, password)
    if key is None or leaf is None:
        raise ValueError("incomplete PKCS#12")
    encoded = key.private_bytes(
        serialization.Encoding.DER, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    der = serialization.Encoding.DER
    return encoded, leaf.public_bytes(der), sorted(certificate.public_bytes(der) for certificate in chain)
