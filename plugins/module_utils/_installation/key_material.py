# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Where the key material of a KEK version still is, once nothing uses the version any more (ADR-0019)."""

from __future__ import annotations

from .._domain.errors import KeyNotHere, OpsError
from .._domain.values import JsonObject
from .._store import heartbeats, journal
from .._store.keystore import KeyState
from .canaries import canary_tag
from .installation import Installation
from .refusals import wrong_key
from .standing_keys import references

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
    if not there and not was_begun(installation, version):
        raise _not_in_this_token(located.label, version)
    return there


def _not_in_this_token(label: str, version: int) -> OpsError:
    return OpsError(
        f'the token holds no key "{label}" of KEK version {version}, and no run began to destroy it',
        code="remove.key_not_found",
        hint="run it where the token that holds this key is; it may be in another token, a replica or a backup",
    )


def begins(version: int) -> JsonObject:
    """Return what the journal says before the key of a version is destroyed: a crash afterwards is then understood."""
    return {"version": version, "begins": "destroy_key"}


def was_begun(installation: Installation, version: int) -> bool:
    """Return whether a run began to destroy this key, or has destroyed it."""
    destroyed = installation.keystore.rows[version].state == KeyState.DESTROYED
    return destroyed or journal.has(installation.store, VERB, begins(version))


def tells(installation: Installation, version: int) -> tuple[str, str]:
    """Return (name, value) of what tells this version's key: its check value; else the tag of its canary (X55).

    Raises OpsError remove.key_not_found, key.wrong, pkcs11.*.
    """
    row = installation.keystore.rows[version]
    for name in ("check_value", "canary_tag"):
        if row.key.get(name):
            return name, str(row.key[name])
    return "canary_tag", _tag_of_the_key(installation, version)


def destroy(installation: Installation, version: int, value: str) -> None:
    """Destroy the key in the HSM that is told by this value. Raises OpsError pkcs11.*, key.wrong; no way back."""
    admin = installation.provider.key_admin
    if admin is None:
        return
    located = references(installation.lock, installation.keystore, removed=True)[version]
    name, _known = tells(installation, version)
    # WHY computed again: what stands in the row tells which key is meant, and only the key itself tells that it is it.
    if name == "canary_tag" and _tag_of_the_key(installation, version) != value:
        raise wrong_key(installation.provider, installation.keystore.rows[version])
    admin.destroy_key(located.label, located.key_id, value if name == "check_value" else None)


def _tag_of_the_key(installation: Installation, version: int) -> str:
    """Return the canary's tag as the key in the token gives it. Raises OpsError remove.key_not_found, key.wrong."""
    provider, row = installation.provider, installation.keystore.rows[version]
    in_use = references(installation.lock, installation.keystore)
    try:
        provider.load({version: references(installation.lock, installation.keystore, removed=True)[version]})
        tag = canary_tag(provider, row)
        refused = wrong_key(provider, row) if tag is None else None
    except KeyNotHere as refusal:
        raise _not_in_this_token(str(row.key.get("label")), version) from refusal
    finally:
        provider.load({other: key for other, key in in_use.items() if other not in installation.absent})
    if refused is not None:
        raise refused
    return str(tag)


def is_nowhere(installation: Installation, version: int) -> bool:
    """True when a KEK that is no HSM's is neither in this host's secrets file nor loaded by a live process.

    An HSM's key is never believed gone because it was not found: it may be in another token.
    """
    if installation.provider.key_admin is not None or version in installation.provider.versions():
        return False
    return not any(version in process.loaded_versions for process in heartbeats.read(installation.store).live)
