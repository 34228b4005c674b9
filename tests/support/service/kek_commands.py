# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The product's `kek` commands, as far as its documentation describes them: small, real, with the vendor's refusals."""

from __future__ import annotations

import json
import uuid
from typing import Any

from .config import Config
from .envelopes import SEALED_FIELDS, context, seal
from .keks import Token, check_value
from .registry import CANARY, Registry, check_lock, connect, instant


def pkcs11_init(config: Config, version: int) -> None:
    """Make a key inside the token; on an env lock refuse before the library is loaded."""
    db = connect(config)
    lock = db.kek_install.find_one({"_id": "kek_install"})
    if lock is not None and lock["provider"] != "pkcs11":
        raise SystemExit(
            f'refusing to run: this database is locked for provider="{lock["provider"]}" (since '
            f"{instant(lock.get('installed_at'))} by {lock.get('installed_by', 'unknown')}). pkcs11-init cannot run "
            f'against a "{lock["provider"]}"-locked installation.'
        )
    if db.kek_versions.find_one({"_id": version}):
        print(f"version {version} exists")
        return
    install_id = lock["install_id"] if lock else uuid.uuid4().hex
    label, key_id = f"certautopilot-kek-v{version}", bytes.fromhex(install_id) + version.to_bytes(4, "big")
    kek = Token(config).generate(label, key_id)
    now = db.client.admin.command("hello")["localTime"]
    fresh = {"provider": "pkcs11", "installed_at": now, "installed_by": "pkcs11-init", "install_id": install_id}
    db.kek_install.update_one({"_id": "kek_install"}, {"$setOnInsert": fresh}, upsert=True)
    check_lock(config, db)
    db.kek_versions.insert_one({
        "_id": version, "provider": "pkcs11", "state": "active" if version == 1 else "pre-activation",
        "canary": seal(kek, version, "pkcs11", version, "canary", CANARY), "created_at": now,
        "created_by": "pkcs11-init", "key": {"label": label, "id": key_id.hex()},
    })  # fmt: skip
    db.kek_versions.update_one({"_id": "active"}, {"$setOnInsert": {"version": version, "epoch": 1}}, upsert=True)
    print(f"version {version} made")


def verify(config: Config, target: int | None) -> None:
    """Every live process must have the target version loaded."""
    registry = Registry(config, connect(config))
    wanted = target or registry.active
    behind = [beat["_id"] for beat in _live(registry.db) if wanted not in beat["loaded_versions"]]
    if behind:
        raise SystemExit(f"not ready: {', '.join(behind)} without version {wanted}")
    print(f"ready: every live process has version {wanted} loaded")


def rotate(config: Config, from_version: int | None, to_version: int) -> None:
    """Re-wrap one record after the other, then swap: plain, and slow on purpose compared with the collection."""
    db = connect(config)
    lock = db.kek_install.find_one({"_id": "kek_install"})
    if lock is not None and lock["provider"] != config.provider:
        raise SystemExit("kek rotate cannot cross the provider boundary: see the guide to changing the provider")
    registry = Registry(config, db)
    source = from_version or registry.active
    if to_version not in registry.keks:
        raise SystemExit(f"error: KEK version {to_version} is not loaded")
    _register(registry, to_version)
    moved = 0
    for collection, field in SEALED_FIELDS.items():
        for document in db[collection].find({"kek_version": source}):
            envelope: Any = document
            for step in field.split("."):
                envelope = envelope[step]
            aad = context(document["_id"], field)
            dek = registry.keks[source].unwrap(bytes(envelope["wrapped_dek"]), aad)
            guard = {"_id": document["_id"], f"{field}.wrapped_dek": envelope["wrapped_dek"], "kek_version": source}
            tags = {"kek_version": to_version, f"{field}.kek_version": to_version, f"{field}.kv": to_version}
            wrap = registry.keks[to_version].wrap(dek, aad)
            moved += db[collection].update_one(guard, {"$set": {f"{field}.wrapped_dek": wrap, **tags}}).modified_count
    swap = {"$set": {"version": to_version}, "$inc": {"epoch": 1}}
    if db.kek_versions.update_one({"_id": "active", "version": source}, swap).modified_count:
        db.kek_versions.update_one({"_id": source}, {"$set": {"state": "deactivated"}})
        db.kek_versions.update_one({"_id": to_version}, {"$set": {"state": "active"}})
    print(f"rotated {moved} envelopes from {source} to {to_version}")


def _register(registry: Registry, version: int) -> None:
    """Give an env version that was only in secrets.env its row and canary; a row that stands is left alone."""
    if registry.config.provider != "env":
        return
    row = {
        "provider": "env", "state": "pre-activation", "created_by": "rotate",
        "created_at": registry.db.client.admin.command("hello")["localTime"],
        "key": {"check_value": check_value(registry.config.keks[version])},
        "canary": seal(registry.keks[version], version, "env", version, "canary", CANARY),
    }  # fmt: skip
    registry.db.kek_versions.update_one({"_id": version}, {"$setOnInsert": row}, upsert=True)


def status(config: Config) -> None:
    """Print active version and fleet as JSON."""
    db = connect(config)
    check_lock(config, db)
    active = db.kek_versions.find_one({"_id": "active"}) or {}
    fleet = {beat["_id"]: beat["current_version"] for beat in _live(db)}
    print(json.dumps({"active": active.get("version"), "epoch": active.get("epoch"), "fleet": fleet}))


def remove(config: Config, version: int) -> None:
    """Retire a version that nothing uses."""
    registry = Registry(config, connect(config))
    using = [beat["_id"] for beat in _live(registry.db) if beat["current_version"] == version]
    left = sum(registry.db[collection].count_documents({"kek_version": version}) for collection in SEALED_FIELDS)
    if version == registry.active or using or left:
        raise SystemExit(f"refusing to remove version {version}: active, or current on {using}, or in {left} records")
    registry.db.kek_versions.update_one({"_id": version}, {"$set": {"state": "destroyed"}})
    print(f"version {version} removed")


def _live(db: Any) -> list[dict[str, Any]]:
    now = db.client.admin.command("hello")["localTime"]
    return [beat for beat in db.process_heartbeats.find() if (now - beat["updated_at"]).total_seconds() < 120]
