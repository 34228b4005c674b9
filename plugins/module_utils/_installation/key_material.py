# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Where the key material of a KEK version still is, once nothing uses the version any more (ADR-0019)."""

from __future__ import annotations

from .._domain.errors import OpsError
from .._domain.values import JsonObject
from .._store import heartbeats, journal
from .._store.keystore import KeyState
from .installation import Installation, references

VERB = "kek_remove"


def in_hsm(installation: Installation, version: int) -> bool:
    """True when the token holds the key of this version, which is to be destroyed.

    Raises OpsError remove.key_not_found where it holds none and nobody began to destroy it: the key may be in another
    token, and would be called destroyed for ever.
    """
    admin = installation.provider.key_admin
    if admin is None:
        return False
    located = references(installation.lock, installation.keystore, removed=True)[version]
    found = admin.find_key(located.label, located.key_id)
    there = (found.by_id if located.key_id else found.by_label) > 0
    destroyed = installation.keystore.rows[version].state == KeyState.DESTROYED
    if not (there or destroyed or journal.has(installation.store, VERB, begins(version))):
        raise OpsError(
            f'the token holds no key "{located.label}" of KEK version {version}, and no run began to destroy it',
            code="remove.key_not_found",
            hint="run it where the token that holds this key is; it may be in another token, a replica or a backup",
        )
    return there


def begins(version: int) -> JsonObject:
    """Return what the journal says before the key of a version is destroyed: a crash afterwards is then understood."""
    return {"version": version, "begins": "destroy_key"}


def destroy(installation: Installation, version: int, check_value: str) -> None:
    """Destroy the key in the HSM. Raises OpsError pkcs11.*; there is no way back."""
    if installation.provider.key_admin is not None:
        located = references(installation.lock, installation.keystore, removed=True)[version]
        installation.provider.key_admin.destroy_key(located.label, located.key_id, check_value)


def is_nowhere(installation: Installation, version: int) -> bool:
    """True when a KEK that is no HSM's is neither in this host's secrets file nor loaded by a live process.

    An HSM's key is never believed gone because it was not found: it may be in another token.
    """
    if installation.provider.key_admin is not None or version in installation.provider.versions():
        return False
    return not any(version in process.loaded_versions for process in heartbeats.read(installation.store).live)
