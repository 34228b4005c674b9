# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A PKCS#12 file whose key stays one of RSASSA-PSS: the library would write it as one of plain RSA (X92, ADR-0040).

Built as OpenSSL 3 builds one: certificates in clear, the key in PBES2 (PBKDF2 with HMAC-SHA-256, AES-256-CBC), a
MAC by HMAC-SHA-256 over all of it. Only keys that the library cannot keep are written here.
Source: RFC 7292 (PFX, bags, appendix B for the MAC's key), RFC 8018 (PBES2), RFC 9579 section 2 (the digest of a MAC).
"""

from __future__ import annotations

import hashlib
import hmac
import os
from collections.abc import Sequence

try:
    from cryptography.hazmat.primitives import hashes, padding
    from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
    from cryptography.hazmat.primitives.kdf.pbkdf2 import PBKDF2HMAC
except ImportError:  # reported by name in _module/dependencies.py before anything runs
    pass

ITERATIONS = 20000  # as the library's
_SEQUENCE, _SET, _OCTETS, _INTEGER, _OID, _NULL = 0x30, 0x31, 0x04, 0x02, 0x06, 0x05
_EXPLICIT = 0xA0  # [0], constructed
_BLOCK, _DIGEST = 64, 32  # bytes of SHA-256

_DATA = bytes.fromhex("2a864886f70d010701")
_CERT_BAG = bytes.fromhex("2a864886f70d010c0a0103")
_SHROUDED_KEY_BAG = bytes.fromhex("2a864886f70d010c0a0102")
_X509 = bytes.fromhex("2a864886f70d01091601")
_FRIENDLY_NAME = bytes.fromhex("2a864886f70d010914")
_LOCAL_KEY_ID = bytes.fromhex("2a864886f70d010915")
_PBES2 = bytes.fromhex("2a864886f70d01050d")
_PBKDF2 = bytes.fromhex("2a864886f70d01050c")
_HMAC_SHA256 = bytes.fromhex("2a864886f70d0209")
_AES256_CBC = bytes.fromhex("60864801650304012a")
_SHA256 = bytes.fromhex("608648016503040201")


def pkcs12_of(name: str, pkcs8: bytes, leaf: bytes, chain: Sequence[bytes], passphrase: str) -> bytes:
    """Return a PFX. pkcs8, leaf, chain: DER. name: shown by programs, without characters beyond the first plane."""
    friendly = _attribute(_FRIENDLY_NAME, _tlv(0x1E, name.encode("utf-16-be", "replace")))
    ours = friendly + _attribute(_LOCAL_KEY_ID, _tlv(_OCTETS, hashlib.sha1(leaf, usedforsecurity=False).digest()))
    certificates = [_certificate(leaf, ours), *(_certificate(one, b"") for one in chain)]
    key = _bag(_SHROUDED_KEY_BAG, _encrypted(pkcs8, passphrase.encode("utf-8")), ours)
    contents = [_data(_tlv(_SEQUENCE, *certificates)), _data(_tlv(_SEQUENCE, key))]
    safe = _tlv(_SEQUENCE, *contents)
    return _tlv(_SEQUENCE, _integer(3), _data(safe), _mac(safe, passphrase))


def _certificate(der: bytes, attributes: bytes) -> bytes:
    inner = _tlv(_SEQUENCE, _tlv(_OID, _X509), _tlv(_EXPLICIT, _tlv(_OCTETS, der)))
    return _bag(_CERT_BAG, inner, attributes)


def _bag(kind: bytes, value: bytes, attributes: bytes) -> bytes:
    return _tlv(_SEQUENCE, _tlv(_OID, kind), _tlv(_EXPLICIT, value), _tlv(_SET, attributes) if attributes else b"")


def _attribute(kind: bytes, value: bytes) -> bytes:
    return _tlv(_SEQUENCE, _tlv(_OID, kind), _tlv(_SET, value))


def _data(content: bytes) -> bytes:
    return _tlv(_SEQUENCE, _tlv(_OID, _DATA), _tlv(_EXPLICIT, _tlv(_OCTETS, content)))


def _encrypted(pkcs8: bytes, passphrase: bytes) -> bytes:
    salt, start = os.urandom(16), os.urandom(16)
    key = PBKDF2HMAC(hashes.SHA256(), 32, salt, ITERATIONS).derive(passphrase)
    padder, cipher = padding.PKCS7(128).padder(), Cipher(algorithms.AES(key), modes.CBC(start)).encryptor()
    sealed = cipher.update(padder.update(pkcs8) + padder.finalize()) + cipher.finalize()
    prf = _tlv(_SEQUENCE, _tlv(_OID, _HMAC_SHA256), _tlv(_NULL))
    kdf = _tlv(_SEQUENCE, _tlv(_OCTETS, salt), _integer(ITERATIONS), prf)
    scheme = _tlv(_SEQUENCE, _tlv(_OID, _AES256_CBC), _tlv(_OCTETS, start))
    parameters = _tlv(_SEQUENCE, _tlv(_SEQUENCE, _tlv(_OID, _PBKDF2), kdf), scheme)
    return _tlv(_SEQUENCE, _tlv(_SEQUENCE, _tlv(_OID, _PBES2), parameters), _tlv(_OCTETS, sealed))


def _mac(content: bytes, passphrase: str) -> bytes:
    salt = os.urandom(16)
    digest = hmac.new(_mac_key(passphrase, salt), content, hashlib.sha256).digest()
    algorithm = _tlv(_SEQUENCE, _tlv(_OID, _SHA256), _tlv(_NULL))
    info = _tlv(_SEQUENCE, algorithm, _tlv(_OCTETS, digest))
    return _tlv(_SEQUENCE, info, _tlv(_OCTETS, salt), _integer(ITERATIONS))


def _mac_key(passphrase: str, salt: bytes) -> bytes:
    """Return 32 bytes: RFC 7292 appendix B.2 with ID 3. One round of it is enough, because SHA-256 gives 32."""
    password = passphrase.encode("utf-16-be") + b"\0\0"
    block = b"\x03" * _BLOCK + _filled(salt) + _filled(password)
    for _round in range(ITERATIONS):
        block = hashlib.sha256(block).digest()
    return block[:_DIGEST]


def _filled(text: bytes) -> bytes:
    """Return a text repeated until it fills whole blocks."""
    size = _BLOCK * -(-len(text) // _BLOCK)
    return (text * -(-size // len(text)))[:size]


def _integer(number: int) -> bytes:
    return _tlv(_INTEGER, number.to_bytes(number.bit_length() // 8 + 1, "big"))


def _tlv(tag: int, *parts: bytes) -> bytes:
    value = b"".join(parts)
    if len(value) < 0x80:
        return bytes([tag, len(value)]) + value
    size = len(value).to_bytes((len(value).bit_length() + 7) // 8, "big")
    return bytes([tag, 0x80 | len(size)]) + size + value
