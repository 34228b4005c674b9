# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Fills an installation with records of every kind the product documents, exactly as many as asked for."""

from __future__ import annotations

import base64
import datetime
import json
import random
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import bson
from bson import Decimal128, Int64, ObjectId
from cryptography.hazmat.primitives import hashes

from .api import hash_key
from .certificates import Authority
from .registry import BOOKKEEPING, Registry

# share of what is left after the fixed documents, by kind
SHARES = {
    "certificates": 22, "acme_accounts": 6, "msca_connections": 4, "dns_credentials": 12, "module_credentials": 14,
    "notification_channels": 6, "users": 8, "zones": 12, "audit_logs": 16,
}  # fmt: skip


class Seeder:
    """Makes documents in memory; `write` inserts them. Everything random but key material comes from the seed."""

    def __init__(self, registry: Registry, seed: int, projects: int) -> None:
        self._registry = registry
        self._random = random.Random(seed)
        self._now = datetime.datetime(2026, 11, 1, 12, 0, 0)
        self._authority = Authority(self._now)
        self._made: dict[str, list[dict[str, Any]]] = defaultdict(list)
        self._projects = [ObjectId() for _number in range(projects)]
        self.api_key = "cap_" + "".join(self._random.choices("abcdefghijklmnopqrstuvwxyz234567", k=52))

    def fill(self, total: int) -> dict[str, int]:
        """Make exactly `total` documents. Returns collection -> count. Raises SystemExit when that is too few."""
        self._fixed()
        left = total - sum(len(documents) for documents in self._made.values())
        if left < 2 * len(SHARES):
            raise SystemExit(f"error: {total} records are too few for every kind")
        makers: dict[str, Callable[[int], int]] = {name: getattr(self, f"_{name}") for name in SHARES}
        weights = sum(SHARES.values())
        number = 0
        for name, share in SHARES.items():
            for _each in range(max(1, left * share // weights // (2 if name == "certificates" else 1))):
                number += makers[name](number)
        while self._count() > total:
            self._made["audit_logs"].pop()
        while self._count() < total:
            self._audit_logs(number)
        return {name: len(documents) for name, documents in sorted(self._made.items())}

    def write(self) -> None:
        """Insert what was made."""
        for name, documents in self._made.items():
            self._registry.db[name].insert_many(documents)

    def _count(self) -> int:
        return sum(len(documents) for documents in self._made.values())

    def _fixed(self) -> None:
        for index, project in enumerate(self._projects, start=1):
            name = f"Project {index} \u2013 \u00e9quipe"
            self._made["projects"].append(self._dated({"_id": project, "name": name, "slug": f"project-{index}"}))
        licence = {"customer": "stand-in", "seats": 50}
        self._sealed(
            "settings", "licence", "encrypted_licence", json.dumps(licence).encode(), {"edition": "enterprise"}
        )
        self._made["settings"].append({"_id": "certificate_policy", "allow_key_export": True, "approval": None})
        hashed = hash_key(self._registry.config.pepper, self.api_key)
        self._made["api_keys"].append(
            self._dated({"_id": ObjectId(), "name": "automation", "role": "admin", "hash": hashed})
        )

    def _dated(self, document: dict[str, Any]) -> dict[str, Any]:
        return {**document, "created_at": self._now, "updated_at": self._now}

    def _project(self) -> ObjectId:
        return self._random.choice(self._projects)

    def _sealed(
        self, collection: str, record_id: Any, field: str, plaintext: bytes, rest: dict[str, Any]
    ) -> dict[str, Any]:
        envelope = self._registry.seal(record_id, field, plaintext)
        document = {"_id": record_id, **rest, "kek_version": envelope["kek_version"]}
        outer, _dot, inner = field.rpartition(".")
        if outer:
            document[outer] = {**rest.get(outer, {}), inner: envelope}
        else:
            document[field] = envelope
        self._made[collection].append(self._dated(document))
        return document

    def _secret(self, length: int = 40) -> str:
        return base64.b64encode(self._random.randbytes(length)).decode()

    def _certificates(self, number: int) -> int:
        name = f"svc-{number}.example.com" if number % 9 else f"*.w{number}.example.com"
        leaf = self._authority.issue(name, [name, f"alt-{number}.example.net"])
        record_id, project = ObjectId(), self._project()
        own_csr = number % 7 == 3
        self._made["certificates"].append(self._dated({
            "_id": record_id, "project_id": project, "name": name, "common_name": name,
            "dns_names": [name, f"alt-{number}.example.net"], "status": "active",
            "issuer_type": "csr" if own_csr else "acme", "serial_number": format(leaf.certificate.serial_number, "x"),
            "fingerprint_sha256": leaf.certificate.fingerprint(hashes.SHA256()).hex(),
            "not_before": self._now, "not_after": self._now + datetime.timedelta(days=90),
            "certificate_pem": leaf.certificate_pem, "chain_pem": leaf.chain_pem,
        }))  # fmt: skip
        if not own_csr:
            rest = {"project_id": project, "certificate_id": record_id}
            self._sealed("certificate_private_keys", ObjectId(), "encrypted_key", leaf.key_pem, rest)
        return 1

    def _acme_accounts(self, number: int) -> int:
        leaf = self._authority.issue(f"acme-{number}", [])
        rest = {"project_id": self._project(), "registration_url": f"https://acme.example/acct/{number}"}
        self._sealed("acme_accounts", ObjectId(), "encrypted_private_key", leaf.key_pem, rest)
        return 1

    def _msca_connections(self, number: int) -> int:
        secret = json.dumps({"username": f"CORP\\svc-{number}", "password": self._secret()}).encode()
        rest = {"project_id": self._project(), "host": f"adcs{number}.corp.example", "templates": ["WebServer", "User"]}
        self._sealed("msca_connections", ObjectId(), "encrypted_credentials", secret, rest)
        return 1

    def _dns_credentials(self, number: int) -> int:
        rest = {"project_id": self._project(), "name": f"dns {number}", "provider_type": "route53", "ttl": Int64(300)}
        self._sealed("dns_credentials", ObjectId(), "encrypted_api_key", self._secret().encode(), rest)
        return 1

    def _module_credentials(self, number: int) -> int:
        secret = [b"", self._secret(2000).encode(), b"kubeconfig: \xc3\xa9"][number % 3]
        rest = {"project_id": self._project(), "kind": "ssh", "tags": {"site": ["a", {"rack": number}]}, "note": None}
        self._sealed("module_credentials", ObjectId(), "encrypted_value", secret, rest)
        return 1

    def _notification_channels(self, number: int) -> int:
        config = json.dumps({"webhook": f"https://hooks.example/{self._secret(12)}"}).encode()
        self._sealed(
            "notification_channels", ObjectId(), "encrypted_config", config, {"kind": "slack", "enabled": True}
        )
        return 1

    def _users(self, number: int) -> int:
        rest = {"email": f"user{number}@example.com", "password_hash": "$2b$12$" + self._secret(39)[:53]}
        if number % 2:
            rest["totp"] = {"enabled": True}  # type: ignore[assignment]
            self._sealed("users", ObjectId(), "totp.encrypted_seed", self._random.randbytes(20), rest)
        else:
            self._made["users"].append(self._dated({"_id": ObjectId(), **rest}))
        return 1

    def _zones(self, number: int) -> int:
        cost = Decimal128(f"{number}.10")
        zone = {"_id": f"zone-{number}", "apex": f"z{number}.example", "aliases": [f"a{number}.example"], "cost": cost}
        self._made["zones"].append(self._dated({**zone, "project_id": self._project()}))
        return 1

    def _audit_logs(self, number: int) -> int:
        entry = {
            "_id": ObjectId(),
            "ts": self._now,
            "actor": "user",
            "event": "cert.issued",
            "subject": f"cert/{number}",
        }
        self._made["audit_logs"].append({**entry, "data": {"raw": bson.Binary(b"\0\1", 5)}, "hmac": self._secret(24)})
        return 1


def seed(
    registry: Registry, *, records: int, projects: int, seed_number: int, api_key_file: Path | None
) -> dict[str, int]:
    """Fill an installation that holds no records yet. Returns collection -> count."""
    standing = set(registry.db.list_collection_names()) - BOOKKEEPING
    if any(registry.db[name].find_one() for name in standing):
        raise SystemExit("error: this installation holds records already")
    seeder = Seeder(registry, seed_number, projects)
    counts = seeder.fill(records)
    seeder.write()
    if api_key_file is not None:
        api_key_file.touch(mode=0o600)
        api_key_file.write_text(seeder.api_key + "\n")
    return counts
