# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Refusals that several verbs share: each says what was found, what was expected, and the way out."""

from __future__ import annotations

from .._domain.errors import OpsError
from .._keys.provider import Provider
from .._store.connection import Store
from .._store.keystore import KeyRow, Keystore


def lock_missing(store: Store) -> OpsError:
    """Return the refusal for a database nobody has installed into."""
    return OpsError(
        f'database "{store.name}" has no install lock (kek_install)',
        code="lock.missing",
        hint="kek_pkcs11_init or kek_install_lock makes one on a fresh database; `adopt: true` on one with envelopes",
    )


def wrong_key(provider: Provider, row: KeyRow) -> OpsError:
    """Return the refusal for a key that is not the one that sealed the version's canary."""
    known = row.key.get("check_value") or "none recorded"
    return OpsError(
        f"wrong key: KEK version {row.version} does not open its canary; check value found "
        f"{provider.check_value(row.version) or 'not told by the token'}, keystore says {known}",
        code="key.wrong",
        hint="this is another key under the same name: restore the right KEK or token; nothing was written",
    )


def envelopes_without_lock(store: Store, total: int) -> OpsError:
    """Return the refusal for a database that someone sealed without leaving a lock (T8)."""
    return OpsError(
        f'database "{store.name}" holds {total} envelope(s) but no install lock (kek_install)',
        code="lock.missing_with_envelopes",
        hint="if this is an old installation of the same provider, run kek_install_lock with `adopt: true`; "
        "a new installation needs an empty database",
    )


def rows_without_lock(store: Store, keys: Keystore) -> OpsError:
    """Return the refusal for a keystore that has lost its lock, or got its rows from a partial restore."""
    return OpsError(
        f'database "{store.name}" has keystore rows {sorted(keys.rows)} but no install lock (kek_install)',
        code="lock.missing_with_keystore",
        hint="was only a part of a backup restored? restore kek_install too, or use an empty database",
    )
