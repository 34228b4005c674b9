# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The HSM keys that a scratch installation made: found by what its database says, and destroyed.

INVARIANT: only keys whose id begins with the scratch installation's own id, which was drawn at random when it was made.
"""

from __future__ import annotations

import contextlib

from .._domain.errors import OpsError
from .._domain.key_names import KeyReference, reference
from .._domain.settings import Settings
from .._keys import registry
from .._store import install_lock, journal, keystore
from .._store.connection import Store
from .._store.install_lock import InstallLock
from .._store.scratch_mark import Scratch
from .login_turn import first_login, later_logins
from .standing_keys import references

_VERB = "scratch_installation"
_FIRST_VERSION = 1  # a scratch installation is never rotated


def made_by(store: Store, scratch: Scratch) -> dict[int, KeyReference]:
    """Return version -> where its key is, or may be where a run died before it noted it. Nothing is asked of a token.

    Raises OpsError scratch.foreign_key: a row names a key that is no scratch installation's.
    """
    lock, intent = install_lock.read(store), keystore.read_intent(store, _FIRST_VERSION)
    found = {} if intent is None else {_FIRST_VERSION: intent.key}
    if lock is not None:
        found |= references(lock, keystore.read(store), removed=True)
    install_id = _install_id(lock, intent)
    for version, key in found.items():
        if install_id in ("", scratch.of) or key.key_id != reference(install_id, version).key_id:
            raise OpsError(
                f'KEK version {version} of scratch database "{store.name}" is key "{key.label}" with id '
                f"{key.key_id.hex()}, expected one that carries the id of this scratch installation",
                code="scratch.foreign_key",
                hint="somebody else wrote to this database: look at it and drop it by hand; nothing was destroyed",
            )
    return found


def destroy(settings: Settings, store: Store, keys: dict[int, KeyReference]) -> list[str]:
    """Destroy these keys in the token; return the ids of those that were there, in hex.

    Raises OpsError scratch.key_not_found where the token has none that a row names and no run began to destroy it: it
    may be in another token. Raises what a login and the token raise.
    """
    destroyed = []
    turn = first_login(settings, store)
    with (
        later_logins(settings, store),
        contextlib.closing(registry.build_registry(settings, first_login=turn)) as provider,
    ):
        admin = provider.key_admin
        if admin is None:
            return []
        noted = keystore.read(store).rows
        for version, key in keys.items():
            begins = {"begins": "destroy_key", "id": key.key_id.hex()}
            if admin.find_key(key.label, key.key_id).by_id == 0:
                if version in noted and not journal.has(store, _VERB, begins):
                    raise _not_found(store, key)
                continue
            shown = admin.describe_key(key.label, key.key_id)["check_value"]
            journal.append(store, _VERB, begins)
            admin.destroy_key(key.label, key.key_id, str(shown) if shown else None)
            destroyed.append(key.key_id.hex())
    return destroyed


def _install_id(lock: InstallLock | None, intent: keystore.Intent | None) -> str:
    return (lock.install_id if lock is not None else intent.install_id if intent is not None else "") or ""


def _not_found(store: Store, key: KeyReference) -> OpsError:
    return OpsError(
        f'the token holds no key "{key.label}" with id {key.key_id.hex()}, which scratch database "{store.name}" made, '
        "and no run began to destroy it",
        code="scratch.key_not_found",
        hint="run it where the token that holds this key is; nothing was dropped",
    )
