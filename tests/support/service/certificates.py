# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Real X.509 material for the seeder: a small CA, an intermediate, leaves with keys. Keys are made once and reused."""

from __future__ import annotations

import datetime
from dataclasses import dataclass
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

KEYS = 8  # key pairs made for all leaves: signing is cheap, and the tests are about sealing


@dataclass(frozen=True)
class Leaf:
    """A leaf with its chain. key_pem: PKCS#8."""

    certificate: x509.Certificate
    certificate_pem: str
    chain_pem: str
    key_pem: bytes


class Authority:
    """A root and an intermediate that issue leaves."""

    def __init__(self, now: datetime.datetime) -> None:
        self._now = now
        root_key, self._key = (ec.generate_private_key(ec.SECP256R1()) for _number in range(2))
        self._keys = [ec.generate_private_key(ec.SECP256R1()) for _number in range(KEYS)]
        root = self._sign("Stand-in Root", root_key.public_key(), "Stand-in Root", root_key, days=3650, ca=True)
        self._intermediate = "Stand-in Issuing CA"
        issuing = self._sign(self._intermediate, self._key.public_key(), "Stand-in Root", root_key, days=1825, ca=True)
        self._chain = _pem(issuing) + _pem(root)
        self._issued = 0

    def issue(self, common_name: str, names: list[str]) -> Leaf:
        """Return a new leaf for these DNS names, 90 days long."""
        key = self._keys[self._issued % KEYS]
        self._issued += 1
        leaf = self._sign(common_name, key.public_key(), self._intermediate, self._key, days=90, names=names)
        pem = key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        return Leaf(leaf, _pem(leaf), self._chain, pem)

    def _sign(
        self, subject: str, public: Any, issuer: str, key: Any, *, days: int, ca: bool = False,
        names: list[str] | None = None,
    ) -> x509.Certificate:  # fmt: skip
        builder = (
            x509.CertificateBuilder()
            .subject_name(_name(subject))
            .issuer_name(_name(issuer))
            .public_key(public)
            .serial_number(x509.random_serial_number())
            .not_valid_before(self._now)
            .not_valid_after(self._now + datetime.timedelta(days=days))
            .add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
        )
        if names:
            alternative = x509.SubjectAlternativeName([x509.DNSName(name) for name in names])
            builder = builder.add_extension(alternative, critical=False)
        return builder.sign(key, hashes.SHA256())


def _name(common_name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])


def _pem(certificate: x509.Certificate) -> str:
    return certificate.public_bytes(serialization.Encoding.PEM).decode()
