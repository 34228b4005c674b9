# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Database servers that guard themselves: with TLS and certificates of a test's own CA, or with users and roles.

Of SecantusDB only: `MONGODB_URI` and mongod are passed over, because a given server has its own rules. Nothing of the
collection is used here.
"""

from __future__ import annotations

import datetime
import ipaddress
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pymongo
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.x509.oid import NameOID

from . import pki
from .database import DatabaseServer

# What MongoDB's built-in roles allow on a database, as far as SecantusDB knows the actions. WHY not the built-in ones:
# SecantusDB's readWrite may do collMod, and MongoDB's may not. Source: MongoDB manual, "Built-In Roles".
READ = ("find", "listCollections", "listIndexes", "collStats", "dbStats", "killCursors", "changeStream")
READ_WRITE = (
    *READ, "insert", "update", "remove", "createCollection", "dropCollection", "createIndex", "dropIndex",
)  # fmt: skip
DB_ADMIN = ("collMod", "dropDatabase", "createCollection", "dropCollection", "createIndex", "dropIndex",
            "listCollections", "listIndexes", "collStats", "dbStats")  # fmt: skip


@dataclass(frozen=True)
class Certificates:
    """Files of one server and of who trusts it. ca: of the CA that issued both. client: certificate and key."""

    server: Path
    key: Path
    ca: Path
    client: Path


def certificates(folder: Path, *, names: Sequence[str] = ("127.0.0.1",), days: int = 30) -> Certificates:
    """Return a server's certificate for these names (days < 0: it has expired), its CA's, and a client's."""
    folder.mkdir(parents=True, exist_ok=True)
    authority = pki.Authority("Database")
    made = {one: folder / f"{one}.pem" for one in ("server", "key", "ca", "client")}
    server, key = _issued(authority, "db.example", names, days)
    client, client_key = _issued(authority, "app", (), 30)
    made["server"].write_text(pki.pem(server))
    made["key"].write_bytes(pki.pkcs8(key))
    made["ca"].write_text(pki.pem(authority.root))
    made["client"].write_bytes(pki.pem(client).encode() + pki.pkcs8(client_key))
    return Certificates(**made)


def _issued(authority: pki.Authority, name: str, names: Sequence[str], days: int) -> tuple[x509.Certificate, Any]:
    key = pki.MAKERS["ec"]()
    now = datetime.datetime.now(datetime.UTC)
    others = [x509.IPAddress(ipaddress.ip_address(one)) for one in names]
    builder = (
        x509.CertificateBuilder()
        .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)]))
        .issuer_name(authority.root.subject).public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=60)).not_valid_after(now + datetime.timedelta(days=days))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name), *others]), critical=False)
    )  # fmt: skip
    return builder.sign(authority.root_key, hashes.SHA256()), key


@contextmanager
def with_tls(folder: Path, made: Certificates, *, client_certificate: bool = False) -> Iterator[DatabaseServer]:
    """Yield a server that speaks TLS only. client_certificate: and only with who shows one of the same CA."""
    flags = ["--tls-cert-file", str(made.server), "--tls-key-file", str(made.key)]
    if client_certificate:
        flags += ["--tls-ca-file", str(made.ca), "--tls-require-client-cert"]
    # WHY unverified: this only waits until it answers, whatever is wrong with its certificate.
    query = f"?tls=true&tlsInsecure=true&tlsCertificateKeyFile={made.client}"
    server = DatabaseServer(folder / "server", "secantusdb", sync_on_commit=False, flags=tuple(flags), query=query)
    server.start()
    try:
        yield server
    finally:
        server.stop()


class ServerWithUsers:
    """A server that lets nobody in without a password. root: the URI of who may do everything."""

    def __init__(self, folder: Path) -> None:
        self.server = DatabaseServer(folder, "secantusdb", sync_on_commit=False)
        self.server.start()
        client: Any = pymongo.MongoClient(self.server.uri)
        client.admin.command("createUser", "root", pwd="root-of-tests", roles=[{"role": "root", "db": "admin"}])
        client.close()
        self.server.stop()
        self.server.flags = ("--auth",)  # WHY only now: SecantusDB has no localhost exception
        self.server.start()

    @property
    def root(self) -> str:
        return f"mongodb://root:root-of-tests@127.0.0.1:{self.server.port}/?authSource=admin"

    def user(self, database: str, name: str, actions: Mapping[str, Sequence[str]]) -> str:
        """Return the URI of a new user. actions: collection ("" for all of the database) -> what it may do there."""
        client: Any = pymongo.MongoClient(self.root)
        granted = [
            {"resource": {"db": database, "collection": collection}, "actions": list(allowed)}
            for collection, allowed in actions.items()
        ]
        client[database].command("createRole", f"{name}_role", privileges=granted, roles=[])
        client[database].command("createUser", name, pwd=f"{name}-word", roles=[f"{name}_role"])
        client.close()
        return f"mongodb://{name}:{name}-word@127.0.0.1:{self.server.port}/{database}"
