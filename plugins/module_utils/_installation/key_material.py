# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Where the key material of a KEK version still is, once nothing uses the version any more (ADR-0019)."""

from __future__ import annotations

from .._store import heartbeats
from .installation import Installation, references


def in_hsm(installation: Installation, version: int) -> bool:
    """True when the token holds the key of this version."""
    admin = installation.provider.key_admin
    if admin is None:
        return False
    located = references(installation.lock, installation.keystore, removed=True)[version]
    return admin.find_key(located.label, located.key_id).by_id > 0


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
