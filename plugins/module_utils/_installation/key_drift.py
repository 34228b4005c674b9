# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The keys of all versions as the device shows them today, beside what was recorded when they were made. Reads only."""

from __future__ import annotations

import contextlib

from .._domain import ceremony
from .._domain.errors import KeyNotHere
from .._domain.settings import Settings
from .._domain.values import JsonObject
from .._keys import registry
from .._keys.provider import KeyAdmin
from .._store.connection import Store
from .._store.install_lock import InstallLock
from .._store.keystore import KeyRow, Keystore
from .login_turn import first_login, later_logins
from .standing_keys import references


def look(settings: Settings, store: Store, lock: InstallLock | None, keys: Keystore) -> list[JsonObject] | None:
    """Return {version, there, recorded, drift} for each version that was not removed; None without a device.

    there: whether the device holds the key. drift: None where nothing was recorded, by an older release. Logs in.
    Raises OpsError lock.*, pkcs11.*.
    """
    if lock is None:
        return None
    registry.check_lock(settings, installed=lock.provider, since=lock.installed_at)
    if not registry.configured(settings).DEVICE:
        return None
    with (
        later_logins(settings, store),
        contextlib.closing(registry.build_registry(settings, first_login=first_login(settings, store))) as provider,
    ):
        admin = provider.key_admin
        if admin is None:
            return None
        device = admin.probe()
        wanted = references(lock, keys)
        return [
            _beside(keys.rows[version], *_described(admin, key.label, key.key_id), device)
            for version, key in wanted.items()
        ]


def _described(admin: KeyAdmin, label: str, key_id: bytes) -> tuple[JsonObject | None, str]:
    try:
        return admin.describe_key(label, key_id), ""
    except KeyNotHere as refusal:
        return None, refusal.code


def _beside(row: KeyRow, described: JsonObject | None, problem: str, device: JsonObject) -> JsonObject:
    known = row.ceremony
    found = None if known is None or described is None else ceremony.drift(known, described=described, device=device)
    return {
        "version": row.version,
        "there": described is not None,
        "problem": problem,
        "recorded": dict(known) if known is not None else None,
        "drift": found,
    }
