# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""BuildRegistry of the stand-in: lock against configuration first, then keys, then every canary opened."""

from __future__ import annotations

import contextlib
import hashlib
import hmac
import uuid
from typing import Any

import pymongo
from pymongo.errors import DuplicateKeyError

from .config import Config
from .envelopes import SEALED_FIELDS, context, open_sealed, seal
from .keks import HexKek, Kek, Token, check_value

CANARY = b"certautopilot kek canary"
BOOKKEEPING = {
    "kek_restore",
    "kek_scratch",
    "kek_install",
    "kek_versions",
    "kek_rotations",
    "kek_ranges",
    "kek_journal",
    "kek_layout",
    "kek_imports",
    "kek_pin_refusals",
    "locks",
    "process_heartbeats",
}


def connect(config: Config) -> Any:
    """Return the database, every write with majority and journal."""
    client: Any = pymongo.MongoClient(config.uri, serverSelectionTimeoutMS=10_000)
    return client.get_database(config.database, write_concern=pymongo.WriteConcern("majority", j=True))


def instant(value: Any) -> str:
    return value.strftime("%Y-%m-%dT%H:%M:%SZ") if value else "unknown"


def check_lock(config: Config, db: Any) -> dict[str, Any] | None:
    """Return the lock; a process with the other provider ends here, before anything else is touched."""
    lock = db.kek_install.find_one({"_id": "kek_install"})
    if lock is not None and lock["provider"] != config.provider:
        raise SystemExit(
            f'KEK provider mismatch: installed="{lock["provider"]}" (since {instant(lock.get("installed_at"))}) '
            f'but config says "{config.provider}". Provider is immutable after install.'
        )
    return dict(lock) if lock else None


class Registry:
    """Loaded KEKs and the active version, reloaded from the keystore at each heartbeat."""

    def __init__(self, config: Config, db: Any) -> None:
        self.config = config
        self.db = db
        self.keks: dict[int, Kek] = {}
        self._canary_deks: dict[int, bytes] = {}
        self.active = 0  # the version this process writes under
        self.wanted = 0  # the version the keystore calls active
        self.epoch = 0
        self.lock = check_lock(config, db) or self._first_start()
        self._token = None
        if config.provider == "pkcs11":
            self._token = Token(config)
        else:
            self.keks.update({version: HexKek(key) for version, key in config.keks.items()})
        if config.provider == "env" and db.kek_versions.find_one({"_id": "active"}) is None:
            self._first_row()
        self.reload()
        if not self.active:
            raise SystemExit(
                f"error: active KEK version {self.wanted or 'none'} is not loaded: is this installation initialised?"
            )

    def reload(self) -> None:
        """Read the keystore again: load keys of new rows, follow the active version once its key is loaded.

        Raises SystemExit for a key that does not open its canary; it does not count as loaded then.
        """
        for row in self.db.kek_versions.find():
            if isinstance(row["_id"], int) and row.get("state") != "destroyed":
                self._load(row)
        active = self.db.kek_versions.find_one({"_id": "active"})
        if active is not None:
            self.wanted = int(active["version"])
            if self.wanted in self.keks:  # a process never makes a version its current one that it cannot use
                self.active, self.epoch = self.wanted, int(active["epoch"])

    def seal(self, record_id: Any, field: str, plaintext: bytes) -> dict[str, Any]:
        """Return an envelope under the active version."""
        version = self.active
        return seal(self.keks[version], version, self.config.provider, record_id, field, plaintext)

    def open(self, record_id: Any, field: str, envelope: dict[str, Any]) -> bytes:
        """Return the payload of an envelope of this installation."""
        if envelope["provider"] != self.config.provider:
            raise ValueError(f"envelope of provider {envelope['provider']}")
        return open_sealed(self.keks[envelope["kek_version"]], record_id, field, envelope)

    def proofs(self, process_id: str) -> dict[str, str]:
        """Return version -> HMAC over the process id, keyed by the data key of the version's canary: it was opened."""
        shown = {}
        for version, dek in self._canary_deks.items():
            mac = hmac.new(dek, digestmod=hashlib.sha256)
            mac.update(len(process_id).to_bytes(8, "big") + process_id.encode())
            shown[str(version)] = mac.hexdigest()
        return shown

    def is_ready(self) -> bool:
        """Return whether the active version is this process's current one and its key opens the canary now."""
        row = self.db.kek_versions.find_one({"_id": self.wanted})
        if row is None or self.wanted != self.active:
            return False
        return open_sealed(self.keks[self.active], self.active, "canary", row["canary"]) == CANARY

    def _load(self, row: dict[str, Any]) -> None:
        version = int(row["_id"])
        kek = self.keks.get(version)
        if self._token is not None:
            if kek is not None:
                return
            kek = self._token.kek(bytes.fromhex(row["key"]["id"]))
        elif version not in self.config.keks:
            return
        kek = kek or HexKek(self.config.keks[version])
        if row.get("canary"):
            try:
                _prove(kek, version, row["canary"])
            except SystemExit:
                self.keks.pop(version, None)
                self._canary_deks.pop(version, None)
                raise
            aad = context(version, "canary")
            self._canary_deks[version] = kek.unwrap(bytes(row["canary"]["wrapped_dek"]), aad)
        self.keks[version] = kek

    def _first_start(self) -> dict[str, Any]:
        if self.config.provider == "pkcs11":
            raise SystemExit("error: no install lock: run kek pkcs11-init --version=1 first")
        if not self.config.keks:
            raise SystemExit("error: no CERTAUTOPILOT_ENCRYPTION_ENV_KEK_V1 in secrets.env")
        if any(self.db[name].find_one() for name in set(self.db.list_collection_names()) - BOOKKEEPING):
            raise SystemExit("error: this database holds records but no install lock")
        now = self.db.client.admin.command("hello")["localTime"]
        lock = {"provider": "env", "installed_at": now, "installed_by": "service", "install_id": uuid.uuid4().hex}
        with contextlib.suppress(DuplicateKeyError):
            self.db.kek_install.update_one({"_id": "kek_install"}, {"$setOnInsert": lock}, upsert=True)
        return check_lock(self.config, self.db) or lock

    def _first_row(self) -> None:
        version = min(self.keks)
        self._opens_what_is_there(version)
        row = {
            "provider": "env", "state": "active", "created_by": "service",
            "created_at": self.db.client.admin.command("hello")["localTime"],
            "key": {"check_value": check_value(self.config.keks[version])},
            "canary": seal(self.keks[version], version, "env", version, "canary", CANARY),
        }  # fmt: skip
        first = {"version": version, "epoch": 1}
        for record_id, fields in ((version, row), ("active", first)):
            with contextlib.suppress(DuplicateKeyError):
                self.db.kek_versions.update_one({"_id": record_id}, {"$setOnInsert": fields}, upsert=True)

    def _opens_what_is_there(self, version: int) -> None:
        """A key becomes the first row's only if it opens what a lost keystore left behind."""
        for collection, field in SEALED_FIELDS.items():
            document = self.db[collection].find_one({"kek_version": version})
            if document is None:
                continue
            envelope: Any = document
            for step in field.split("."):
                envelope = envelope[step]
            try:
                self.open(document["_id"], field, envelope)
            except Exception as cause:
                place = f"{collection}/{document['_id']}"
                raise SystemExit(f"error: KEK version {version} does not open {place}: wrong key") from cause


def _prove(kek: Kek, version: int, canary: dict[str, Any]) -> None:
    try:
        opened = open_sealed(kek, version, "canary", canary)
    except Exception as cause:
        raise SystemExit(f"error: the key of KEK version {version} does not open its canary: wrong key") from cause
    if opened != CANARY:
        raise SystemExit(f"error: the canary of KEK version {version} opens to something else")
