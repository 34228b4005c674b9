# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A small CA for tests of exports: leaves with keys of every type, chains in order or not. openssl is the oracle.

Nothing of the collection is used here. `opens_as`, `belongs` and `verifies` ask the openssl program.
"""

from __future__ import annotations

import datetime
import subprocess
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import dsa, ec, ed448, ed25519, rsa
from cryptography.x509.oid import NameOID

NOW = datetime.datetime(2026, 11, 1, tzinfo=datetime.UTC)
PEM, DER = serialization.Encoding.PEM, serialization.Encoding.DER
MAKERS = {
    "ec": lambda: ec.generate_private_key(ec.SECP256R1()),
    "ec384": lambda: ec.generate_private_key(ec.SECP384R1()),
    "rsa": lambda: rsa.generate_private_key(65537, 2048),
    "dsa": lambda: dsa.generate_private_key(2048),
    "ed25519": ed25519.Ed25519PrivateKey.generate,
    "ed448": ed448.Ed448PrivateKey.generate,
}


@dataclass(frozen=True)
class Leaf:
    """pem: of the certificate. key: PKCS#8 in PEM."""

    certificate: x509.Certificate
    pem: str
    key: bytes


def key_of(kind: str, number: int = 0) -> Any:
    """Return a key, made once for all tests: those of RSA take their time."""
    return _key(kind, number)


@cache
def _key(kind: str, number: int) -> Any:
    return MAKERS[kind]()


def pkcs8(key: Any, encoding: Any = PEM) -> bytes:
    return key.private_bytes(encoding, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())


def traditional(key: Any, encoding: Any = PEM) -> bytes:
    return key.private_bytes(encoding, serialization.PrivateFormat.TraditionalOpenSSL, serialization.NoEncryption())


def encrypted(key: Any) -> bytes:
    return key.private_bytes(PEM, serialization.PrivateFormat.PKCS8, serialization.BestAvailableEncryption(b"x"))


def pem(*certificates: x509.Certificate) -> str:
    return "".join(one.public_bytes(PEM).decode() for one in certificates)


def signed(
    subject: str, public: Any, issuer: str, key: Any, *, ca: bool = False, days: int = 900, start: int = -30
) -> x509.Certificate:
    """Return a certificate. start, days: from NOW, and for how long."""
    begin = NOW + datetime.timedelta(days=start)
    builder = (
        x509.CertificateBuilder()
        .subject_name(_name(subject)).issuer_name(_name(issuer)).public_key(public)
        .serial_number(x509.random_serial_number())
        .not_valid_before(begin).not_valid_after(begin + datetime.timedelta(days=days))
        .add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
    )  # fmt: skip
    plain = isinstance(key, (ed25519.Ed25519PrivateKey, ed448.Ed448PrivateKey))
    return builder.sign(key, None if plain else hashes.SHA256())


def _name(common_name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])


class Authority:
    """A root and an intermediate of EC."""

    def __init__(self, name: str = "Test") -> None:
        self.root_name, self.name = f"{name} Root", f"{name} Issuing CA"
        self.root_key, self.key = MAKERS["ec"](), MAKERS["ec"]()
        self.root = signed(self.root_name, self.root_key.public_key(), self.root_name, self.root_key, ca=True)
        self.intermediate = signed(self.name, self.key.public_key(), self.root_name, self.root_key, ca=True)

    def leaf(self, name: str, kind: str = "ec", number: int = 0, **life: int) -> Leaf:
        key = key_of(kind, number)
        certificate = signed(name, key.public_key(), self.name, self.key, **life)
        return Leaf(certificate, pem(certificate), pkcs8(key))

    def rsa_pss_leaf(self, name: str, folder: Path) -> Leaf:
        """Return a leaf whose key is of RSASSA-PSS only: openssl makes it, the library could not."""
        files = {one: folder / one for one in ("pss.key", "pss.csr", "pss.pem", "ca.key", "ca.pem")}
        files["ca.key"].write_bytes(pkcs8(self.key))
        files["ca.pem"].write_text(pem(self.intermediate))
        openssl("genpkey", "-algorithm", "RSA-PSS", "-pkeyopt", "rsa_keygen_bits:2048", "-out", files["pss.key"])
        openssl("req", "-new", "-key", files["pss.key"], "-subj", f"/CN={name}", "-out", files["pss.csr"])
        openssl("x509", "-req", "-in", files["pss.csr"], "-CA", files["ca.pem"], "-CAkey", files["ca.key"],
                "-CAcreateserial", "-days", "900", "-out", files["pss.pem"])  # fmt: skip
        content = files["pss.pem"].read_text()
        return Leaf(x509.load_pem_x509_certificate(content.encode()), content, files["pss.key"].read_bytes())


def openssl(*arguments: Any, content: bytes = b"") -> bytes:
    """Return what openssl prints. Raises CalledProcessError."""
    done = subprocess.run(["openssl", *map(str, arguments)], input=content, capture_output=True, check=False)
    if done.returncode:
        raise subprocess.CalledProcessError(done.returncode, done.args, done.stdout, done.stderr)
    return done.stdout


def public_key(private: bytes) -> bytes:
    return openssl("pkey", "-pubout", content=private)


def public_of(certificate: bytes) -> bytes:
    return openssl("x509", "-noout", "-pubkey", content=certificate)


def verifies(leaf: Path, chain: Path, root: Path) -> bool:
    """Return whether openssl gets from a certificate by a chain to a root. Times are not looked at."""
    command = ["verify", "-no_check_time", "-CAfile", root, "-untrusted", chain, leaf]
    return openssl(*command).decode().strip().endswith("OK")


def opened_pkcs12(path: Path, passphrase: str) -> tuple[bytes, bytes]:
    """Return (the private key, the certificates), PEM, as openssl reads them."""
    given = ["-in", path, "-passin", f"pass:{passphrase}"]
    return (
        openssl("pkcs12", *given, "-nocerts", "-nodes"),
        openssl("pkcs12", *given, "-nokeys"),
    )
