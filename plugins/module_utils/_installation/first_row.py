# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The keystore row of an installation's first KEK version."""

from __future__ import annotations

from .._keys.provider import Provider
from .._store import keystore
from .._store.connection import Store
from .._store.keystore import KeyState
from .canaries import key_facts, make_canary


def ensure_first_row(store: Store, provider: Provider, version: int, created_by: str) -> bool:
    """Insert the row and canary of the first KEK version and make it active, where there is no row yet.

    Returns whether anything was written.
    """
    keys = keystore.read(store)
    written = False
    if not keys.rows:
        written = keystore.insert_row(
            store,
            version=version,
            provider=provider.name,
            state=KeyState.ACTIVE,
            canary=make_canary(provider, version),
            key=key_facts(provider, version),
            created_by=created_by,
        )
    if keys.active is None:
        keystore.initialise_active(store, version)
        written = True
    return written
