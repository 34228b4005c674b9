# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""An installation, opened: database, lock, keystore and proven keys joined. Every verb begins here.

PRIVATE to the collection. Order: settings, database, lock, registry, canaries. What is refused is refused before the
next thing is touched.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from .._domain import aead, canary, layout
from .._domain.catalogue import Catalogue
from .._domain.envelope import parse
from .._domain.errors import OpsError
from .._domain.key_names import reference
from .._domain.pkcs11_settings import KeyReference
from .._domain.settings import Settings
from .._keys import registry
from .._keys.provider import KeyFailure, Provider, UnwrapRequest, WrapRequest
from .._store import install_lock, keystore
from .._store.connection import Store, open_store
from .._store.install_lock import InstallLock
from .._store.keystore import KeyRow, Keystore
from .pin_turn import first_login, later_logins


@dataclass(frozen=True, slots=True)
class Installation:
    """What a verb works on. provider holds loaded keys whose canaries opened."""

    store: Store
    lock: InstallLock
    keystore: Keystore
    provider: Provider
    catalogue: Catalogue


@contextmanager
def open_database(settings: Settings) -> Iterator[Store]:
    """Yield a connected store, closed at the end."""
    uri, database = settings.require_database()
    with open_store(uri, database) as store:
        yield store


@contextmanager
def open_installation(settings: Settings) -> Iterator[Installation]:
    """Yield an installed installation with proven keys. Raises OpsError lock.missing and what the parts raise."""
    with open_database(settings) as store:
        lock = install_lock.read(store)
        if lock is None:
            raise lock_missing(store)
        registry.check_lock(settings, installed=lock.provider, since=lock.installed_at)
        with opened_keys(settings, store, lock) as installation:
            yield installation


@contextmanager
def opened_keys(settings: Settings, store: Store, lock: InstallLock, *, workers: int = 1) -> Iterator[Installation]:
    """Yield the installation of a database whose lock has been judged already. workers: processes for the HSM."""
    keys = keystore.read(store)
    turn = first_login(settings, store)
    provider = registry.build_registry(settings, references(lock, keys), workers=workers, first_login=turn)
    try:
        with later_logins(settings, store):
            prove_canaries(provider, keys)
            yield Installation(store, lock, keys, provider, Catalogue(settings.catalogue))
    finally:
        provider.close()


def references(lock: InstallLock, keys: Keystore, *, removed: bool = False) -> dict[int, KeyReference]:
    """Return where the HSM key of each keystore row is; what the row does not tell follows our naming.

    removed: also of versions that were removed, whose keys are not loaded any more.
    """
    found = {}
    for version, row in keys.rows.items():
        if row.state == "destroyed" and not removed:
            continue
        ours = reference(lock.install_id or "", version)
        label, key_id = row.key.get("label", ours.label), row.key.get("id")
        found[version] = KeyReference(
            label=str(label),
            key_id=bytes.fromhex(key_id) if isinstance(key_id, str) else ours.key_id,
            check_value=row.key.get("check_value") or None,
        )
    return found


def prove_canaries(provider: Provider, keys: Keystore) -> None:
    """Raises OpsError key.not_loaded for an active version without key, key.wrong for a key that opens no canary (T23).

    A row without canary (a foreign keystore) is proven later, by the envelopes themselves.
    """
    loaded = provider.versions()
    if keys.active is not None and keys.active.version not in loaded:
        raise OpsError(
            f"active KEK version {keys.active.version} is not loaded; loaded: {list(loaded) or 'none'}",
            code="key.not_loaded",
            hint="give this host the KEK of the active version (secrets.env or the HSM token) before anything else",
        )
    for version, row in keys.rows.items():
        if version in loaded and row.canary is not None and not opens_canary(provider, row):
            raise wrong_key(provider, row)


def opens_canary(provider: Provider, row: KeyRow) -> bool:
    """True when the provider's key of this version opens the row's canary."""
    return canary_dek(provider, row) is not None


def canary_dek(provider: Provider, row: KeyRow) -> bytes | None:
    """Return the data key of a row's canary, None when the provider's key does not open it."""
    envelope = parse(row.canary)
    wrapped = layout.DEFAULT.wrapped(envelope)
    nonce, ciphertext = layout.DEFAULT.decode(envelope.nonce), layout.DEFAULT.decode(envelope.ciphertext)
    if wrapped is None or nonce is None or ciphertext is None:
        return None
    context = layout.context_digest(canary.record_id(row.version), canary.FIELD)
    dek = provider.unwrap([UnwrapRequest(row.version, wrapped, context)])[0]
    if not isinstance(dek, bytes) or aead.open_sealed(dek, nonce, ciphertext, context) != canary.PLAINTEXT:
        return None
    return dek


def make_canary(provider: Provider, version: int) -> dict[str, Any]:
    """Return a new canary envelope under this version. Raises OpsError key.unusable when the key cannot wrap."""
    context = layout.context_digest(canary.record_id(version), canary.FIELD)
    dek = aead.fresh_dek()
    nonce, ciphertext = aead.seal(dek, canary.PLAINTEXT, context)
    wrapped = provider.wrap(version, [WrapRequest(dek, context)])[0]
    if isinstance(wrapped, KeyFailure):
        raise OpsError(
            f"the key of KEK version {version} cannot wrap ({wrapped.reason})",
            code="key.unusable",
            hint="check that the key may encrypt and decrypt with AES-GCM; kek_pkcs11_init shows the probe",
        )
    return {
        "wrapped_dek": wrapped,
        "nonce": nonce,
        "ciphertext": ciphertext,
        "kek_version": version,
        "kv": version,
        "provider": provider.name,
    }


def wrong_key(provider: Provider, row: KeyRow) -> OpsError:
    """Return the refusal for a key that is not the one that sealed the version's canary."""
    known = row.key.get("check_value") or "none recorded"
    return OpsError(
        f"wrong key: KEK version {row.version} does not open its canary; check value found "
        f"{provider.check_value(row.version) or 'not told by the token'}, keystore says {known}",
        code="key.wrong",
        hint="this is another key under the same name: restore the right KEK or token; nothing was written",
    )


def lock_missing(store: Store) -> OpsError:
    """Return the refusal for a database nobody has installed into."""
    return OpsError(
        f'database "{store.name}" has no install lock (kek_install)',
        code="lock.missing",
        hint="kek_pkcs11_init or kek_install_lock makes one on a fresh database; `adopt: true` on one with envelopes",
    )


def key_facts(provider: Provider, version: int, located: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """Return the `key` part of a keystore row: where the key is and its check value."""
    return {**(located or {}), "check_value": provider.check_value(version)}
