# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One certificate as the files operators know, under the vendor's names: cert.pem, chain.pem, fullchain.pem, key.pem,
bundle.pkcs12, bundle.zip.

Bytes in, bytes out. A fresh salt makes every PKCS#12 file another one, and so is every file that is encrypted: whether
such a file is up to date is told by a label of what it was made of.
Source: vendor's download page (formats), RFC 5958 (PKCS#8), RFC 7292 (PKCS#12).
"""

from __future__ import annotations

import hashlib
import io
import zipfile
from collections.abc import Mapping, Sequence

from .certificate_chain import BROKEN, pem_of
from .certificate_material import Material
from .pkcs12_of_rsa_pss import pkcs12_of
from .private_keys import PrivateKey
from .secret import Secret

try:
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.serialization import pkcs12
    from cryptography.x509 import Certificate
except ImportError:  # reported by name in _module/dependencies.py before anything runs
    pass

CERT, CHAIN, FULLCHAIN, KEY = "cert.pem", "chain.pem", "fullchain.pem", "key.pem"
PKCS12, ZIP = "bundle.pkcs12", "bundle.zip"
FORMATS = (CERT, CHAIN, FULLCHAIN, KEY, PKCS12, ZIP)
KEY_BEARING = frozenset({KEY, PKCS12, ZIP})
ALIASES = {"bundle.p12": PKCS12}  # what an earlier release called it
_OF_CHAIN = frozenset({CHAIN, FULLCHAIN})
_CHANCY = frozenset({PKCS12, ZIP})  # made anew they are other bytes
_ZIP_EPOCH = (1980, 1, 1, 0, 0, 0)  # the earliest a zip entry can say: the same content gives the same bytes


def possible(material: Material, formats: Sequence[str], passphrase: Secret[bytes] | None) -> tuple[str, ...]:
    """Return the formats of those asked for that there is material for, in our order."""
    asked = {ALIASES.get(name, name) for name in formats}
    if material.key is None:
        asked -= KEY_BEARING
    if passphrase is None:
        asked -= {PKCS12}
    if not material.chain.others:
        asked -= {CHAIN}
    if material.chain.state == BROKEN:
        asked -= _OF_CHAIN
    return tuple(name for name in FORMATS if name in asked)


def build(material: Material, name: str, passphrase: Secret[bytes] | None) -> bytes:
    """Return the content of one of the `possible` formats. Raises ValueError where the library cannot write it."""
    if name == CERT:
        return pem_of([material.leaf])
    if name == CHAIN:
        return pem_of(material.chain.others)
    if name == FULLCHAIN:
        return pem_of([material.leaf, *material.chain.others])
    if name == KEY:
        return _key(material).pem()
    if name == PKCS12:
        return _pkcs12(material, passphrase)
    others = possible(material, FORMATS[:-1], passphrase)
    return _zip({other: build(material, other, passphrase) for other in others})


def label(material: Material, name: str, passphrase: Secret[bytes] | None, recipients: Sequence[str] = ()) -> str:
    """Return SHA-256 in hex over all that a file is made of, "" where the same content gives the same bytes.

    recipients: to whom the file is encrypted. SAFE BECAUSE the private key is in it, which nobody can guess, so that
    the passphrase cannot be tried out on it. It would not be for files without a key: those have no label.
    """
    if name not in _CHANCY and not (recipients and name in KEY_BEARING):
        return ""
    parts = [name.encode(), material.name.encode("utf-8", "surrogatepass"), _key(material).pkcs8]
    parts += [_der(one) for one in (material.leaf, *material.chain.others)]
    parts += [b"" if passphrase is None or name == KEY else passphrase.reveal(), *(to.encode() for to in recipients)]
    digest = hashlib.sha256(b"certautopilot.ops export 1")
    for part in parts:
        digest.update(len(part).to_bytes(8, "big") + part)
    return digest.hexdigest()


def _key(material: Material) -> PrivateKey:
    if material.key is None:
        raise ValueError("no key")
    return material.key


def _pkcs12(material: Material, passphrase: Secret[bytes] | None) -> bytes:
    key = _key(material)
    if passphrase is None:
        raise ValueError("no passphrase")
    if key.is_rsa_pss:
        chain = [_der(one) for one in material.chain.others]
        return pkcs12_of(material.name, key.pkcs8, _der(material.leaf), chain, passphrase.reveal().decode("utf-8"))
    return pkcs12.serialize_key_and_certificates(
        material.name.encode("utf-8", "replace"),
        key.loaded,
        material.leaf,
        list(material.chain.others),
        serialization.BestAvailableEncryption(passphrase.reveal()),
    )


def _der(certificate: Certificate) -> bytes:
    return certificate.public_bytes(serialization.Encoding.DER)


def _zip(files: Mapping[str, bytes]) -> bytes:
    raw = io.BytesIO()
    with zipfile.ZipFile(raw, "w", zipfile.ZIP_STORED) as archive:
        for name, content in sorted(files.items()):
            entry = zipfile.ZipInfo(name, _ZIP_EPOCH)
            entry.external_attr = 0o600 << 16
            archive.writestr(entry, content)
    return raw.getvalue()
