# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The keys of the versions that are in use, loaded and proven: what must hold before a key is used or made.

A version is in use when it is active or an envelope is under it. The key of one that nothing uses may be missing: a key
that was made in another token, or was lost after its version was rotated away, stops no verb (X52, X53).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

from .._domain.catalogue import Catalogue
from .._domain.errors import KeyNotHere, OpsError
from .._domain.key_names import KeyReference, reference
from .._keys.provider import Provider
from .._store.connection import Store
from .._store.install_lock import InstallLock
from .._store.keystore import Keystore
from . import survey as surveys
from .canaries import prove_canaries


def references(lock: InstallLock, keys: Keystore, *, removed: bool = False) -> dict[int, KeyReference]:
    """Return where the HSM key of each keystore row is; what the row does not tell follows our naming.

    removed: also of versions that were removed, whose keys are not loaded any more.
    """
    found = {}
    for version, row in keys.rows.items():
        if row.removed and not removed:
            continue
        ours = reference(lock.install_id or "", version)
        label, key_id = row.key.get("label", ours.label), row.key.get("id")
        found[version] = KeyReference(
            label=str(label),
            key_id=bytes.fromhex(key_id) if isinstance(key_id, str) else ours.key_id,
            check_value=row.key.get("check_value") or None,
        )
    return found


def load_and_prove(
    store: Store, catalogue: Catalogue, provider: Provider, lock: InstallLock, keys: Keystore
) -> tuple[int, ...]:
    """Load the key of every version, prove each by its canary; return the versions whose keys are not there.

    Raises OpsError pkcs11.key_not_found, .wrong_key for one that is in use, key.not_loaded, key.wrong.
    WHY the database is walked only where a key is missing: as a rule none is, and a walk takes its time.
    """
    wanted = references(lock, keys)
    absent: tuple[int, ...] = ()
    try:
        provider.load(wanted)
    except KeyNotHere as refusal:
        absent = _absent(provider, wanted)
        in_use = _in_use(surveys.take(store, catalogue).by_version, keys) & set(absent)
        if not absent or in_use:
            raise _needed(refusal, sorted(in_use)) from None
        provider.load({version: key for version, key in wanted.items() if version not in absent})
    prove_canaries(provider, keys)
    return absent


def is_in_use(by_version: Mapping[int, int], keys: Keystore, version: int) -> bool:
    """Return whether something needs the key of a version. by_version: envelopes of each, as a survey counted them."""
    return version in _in_use(by_version, keys)


def _in_use(by_version: Mapping[int, int], keys: Keystore) -> set[int]:
    # WHY all where none is active: that is a keystore which a crash or a hand left unfinished, and nobody can tell.
    active = {keys.active.version} if keys.active is not None else {*keys.rows}
    return {*active, *(version for version, count in Counter(by_version).items() if count)}


def _absent(provider: Provider, wanted: Mapping[int, KeyReference]) -> tuple[int, ...]:
    """Return the versions whose key the device does not hold, by its id; by its label where it has none.

    SAFE BECAUSE a key with another id under our label is another installation's: it is not loaded either.
    """
    admin = provider.key_admin
    if admin is None:
        return ()
    counts = {version: admin.find_key(key.label, key.key_id) for version, key in wanted.items()}
    return tuple(
        version for version, found in counts.items()
        if not (found.by_id if wanted[version].key_id else found.by_label)
    )  # fmt: skip


def _needed(refusal: KeyNotHere, in_use: list[int]) -> OpsError:
    if in_use:
        which = ", ".join(str(version) for version in in_use)
        refusal.message += f"; the database needs KEK version {which} of it"
    return refusal
