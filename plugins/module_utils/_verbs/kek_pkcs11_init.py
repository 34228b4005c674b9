# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Verb kek_pkcs11_init: one key in the HSM, one row, one lock; a crash anywhere is finished by running it again.

Steps, each leaving a state the next run recognises:
 1 lock      read and judged; on another provider's lock the HSM is never touched
 2 database  no envelope without lock, no envelope that already names the new version
 3 probe     token, mechanisms, IV mode
 4 intent    label, id and install id written down before the key exists
 5 key       made inside the token if, and only if, none carries the intent's label or id
 6 canary    sealed and opened again, still only in memory
 7 lock      inserted if absent; another provider's lock that came first ends the run here (ADR-0010)
 8 row       in the keystore, active version initialised, intent removed
INVARIANT: a version that any row or envelope mentions never gets a new key; a missing key is then a refusal.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from typing import Any

from .._domain.catalogue import Catalogue
from .._domain.errors import OpsError
from .._domain.key_names import reference
from .._domain.pkcs11_settings import KeyReference
from .._domain.result import Result
from .._domain.settings import Settings
from .._domain.vendor_messages import init_on_foreign_lock, provider_mismatch, unknown_provider
from .._installation import survey as surveys
from .._installation.canaries import key_facts, make_canary, prove_canaries
from .._installation.installation import open_database, references
from .._installation.login_turn import first_login
from .._installation.refusals import envelopes_without_lock, rows_without_lock
from .._installation.survey import Survey
from .._keys.pkcs11.provider import Pkcs11Provider
from .._keys.registry import KNOWN
from .._store import install_lock, journal, keystore, leases
from .._store.connection import Store
from .._store.install_lock import InstallLock
from .._store.keystore import KeyRow, Keystore
from .._store.leases import Lease

PROVIDER = "pkcs11"
LEASE_NAME = "kek-init"
LEASE_S = 10


@dataclass(frozen=True, slots=True)
class Options:
    """version: the KEK version to make, 1 on a fresh database. retry_refusal: see `pin_turn.first_login`."""

    version: int
    retry_refusal: str = ""


def run(settings: Settings, options: Options, *, check: bool, warn: Callable[[str], None]) -> Result:
    """Make the key of a KEK version, or prove the one that stands. Raises OpsError lock.*, init.*, pkcs11.*, key.*."""
    version = options.version
    if version < 1:
        raise _refused("init.version", f"version {version}", "KEK versions are whole numbers from 1")
    with open_database(settings) as store:
        lock = _judged_lock(settings, store)
        found, keys = surveys.take(store, Catalogue(settings.catalogue)), keystore.read(store)
        # WHY again: another first start may have locked it meanwhile, and rows always come after their lock.
        lock = lock or _judged_lock(settings, store)
        _judge_version(store, lock, keys, found, version)
        # WHY no queue for a check run on a fresh database: the lease would be the first thing in it.
        queue = not check or bool(store.collection_names())
        turn = first_login(settings, store, queue=queue, retry_refusal=options.retry_refusal)
        with _token(settings, turn) as provider:
            probe = provider.probe()
            if version in keys.rows:
                return _prove_standing(store, provider, probe, version, check=check)
            planned = _planned_reference(store, provider, lock, version)
            if check:
                return _predicted(lock, version, planned, probe)
            with leases.holding(store, LEASE_NAME, lease_s=LEASE_S, wait_s=LEASE_S + 5) as lease:
                return _make(store, provider, probe, version, lease)


def _judged_lock(settings: Settings, store: Store) -> InstallLock | None:
    lock = install_lock.read(store)
    if lock is not None and lock.provider not in KNOWN:
        raise unknown_provider(lock.provider)
    if lock is not None and lock.provider != PROVIDER:
        raise init_on_foreign_lock(lock.provider, lock.installed_at, lock.installed_by or "unknown")
    configured = settings.require_provider()
    if lock is not None and configured != PROVIDER:
        raise provider_mismatch(lock.provider, lock.installed_at, configured)
    if configured != PROVIDER:
        raise _refused(
            "init.provider",
            f'config says provider "{configured}", pkcs11-init needs "{PROVIDER}"',
            "set encryption.provider: pkcs11 in this installation's config.yaml, or `provider: pkcs11`",
        )
    return lock


def _judge_version(store: Store, lock: InstallLock | None, keys: Keystore, found: Survey, version: int) -> None:
    if lock is None and found.total:
        raise envelopes_without_lock(store, found.total)
    if lock is None and keys.rows:
        raise rows_without_lock(store, keys)
    if version in keys.rows:
        return
    if version in found.by_version:
        raise _refused(
            "init.version_in_use",
            f"KEK version {version} has no keystore row but {found.by_version[version]} envelope(s) name it",
            "restore the keystore row and the key it points to; a new key would not open them",
        )
    newest = max(keys.rows, default=0)
    if version != newest + 1:
        raise _refused(
            "init.version_gap",
            f"version {version} asked, the keystore's newest is {newest}",
            f"make version {newest + 1} next",
        )


@contextmanager
def _token(settings: Settings, turn: AbstractContextManager[None]) -> Iterator[Pkcs11Provider]:
    provider = Pkcs11Provider(settings.require_pkcs11())
    try:
        provider.open(turn)
        yield provider
    finally:
        provider.close()


def _prove_standing(
    store: Store, provider: Pkcs11Provider, probe: dict[str, Any], version: int, *, check: bool
) -> Result:
    """The row is there: its key must be there and open the canary; what a crash left out is completed."""
    lock, keys = install_lock.read(store), keystore.read(store)
    row = keys.rows[version]
    located = references(lock or InstallLock(PROVIDER, None, None, None), keys)[version]
    provider.load({version: located})
    prove_canaries(provider, Keystore({version: row}, None))
    intent = keystore.read_intent(store, version)
    unfinished = lock is None or keys.active is None or intent is not None
    if unfinished and not check:
        with leases.holding(store, LEASE_NAME, lease_s=LEASE_S, wait_s=LEASE_S + 5):
            lock = _locked(store, located, (intent or {}).get("install_id") or located.key_id[:16].hex())
            _finish(store, version, located)
            keys = keystore.read(store)
    facts = _key_result(version, located, provider.check_value(version), keys.rows[version].state)
    standing = lock.as_result() if lock is not None else _predicted_lock()
    return Result(
        changed=unfinished,
        values={"lock": standing, "key": facts, "probe": probe},
        before={"versions": sorted(keys.rows)},
        after={"versions": sorted(keys.rows)},
    )


def _planned_reference(store: Store, provider: Pkcs11Provider, lock: InstallLock | None, version: int) -> KeyReference:
    """Return how the key is or will be named. Raises OpsError when the token already holds something in its way."""
    intent = keystore.read_intent(store, version)
    install_id = (intent or {}).get("install_id") or (lock.install_id if lock else None) or uuid.uuid4().hex
    planned = reference(install_id, version)
    _matching_keys(provider, planned, begun=intent is not None)
    return planned


def _matching_keys(provider: Pkcs11Provider, planned: KeyReference, *, begun: bool) -> int:
    """Return 0 or 1: how many keys of ours the token holds. Raises OpsError for anything else (T24)."""
    count = provider.find_key(planned.label, planned.key_id)
    if count.by_label > 1 or count.by_id > 1 or count.by_label != count.by_id:
        raise _refused(
            "init.key_in_the_way",
            f'the token holds {count.by_label} key(s) labelled "{planned.label}" and {count.by_id} with id '
            f"{planned.key_id.hex()}, expected the same one or none",
            "that key belongs to another installation or was made by hand: use another token, or remove it by hand "
            "after proving that nothing needs it",
        )
    if count.by_id == 1 and not begun:
        raise _refused(
            "init.key_unexpected",
            f'the token holds key "{planned.label}" with our id but the database knows nothing of it',
            "was this database restored from an older backup? restore the keystore row that belongs to the key",
        )
    return int(count.by_id)


def _make(store: Store, provider: Pkcs11Provider, probe: dict[str, Any], version: int, lease: Lease) -> Result:
    lock = install_lock.read(store)  # again, now that nobody else makes keys
    if lock is not None and lock.provider != PROVIDER:
        raise init_on_foreign_lock(lock.provider, lock.installed_at, lock.installed_by or "unknown")
    keys = keystore.read(store)
    if version in keys.rows:
        return _prove_standing(store, provider, probe, version, check=False)
    begun = keystore.read_intent(store, version) is not None
    install_id = (lock.install_id if lock else None) or uuid.uuid4().hex
    wanted = reference(install_id, version)
    intent = keystore.ensure_intent(
        store,
        version=version,
        provider=PROVIDER,
        install_id=install_id,
        key={"label": wanted.label, "id": wanted.key_id.hex()},
    )
    located = KeyReference(str(intent["key"]["label"]), bytes.fromhex(intent["key"]["id"]))
    leases.renew(store, lease, lease_s=LEASE_S)
    if not _matching_keys(provider, located, begun=begun):
        provider.generate_key(located.label, located.key_id)
    provider.load({version: located})
    leases.renew(store, lease, lease_s=LEASE_S)
    row = KeyRow(
        version,
        PROVIDER,
        "pre-activation" if keys.rows else "active",
        make_canary(provider, version),
        key_facts(provider, version, {"label": located.label, "id": located.key_id.hex()}),
    )
    prove_canaries(provider, Keystore({version: row}, None))
    lock = _locked(store, located, str(intent["install_id"]))
    keystore.insert_row(
        store,
        version=version,
        provider=PROVIDER,
        state=row.state,
        canary=row.canary or {},
        key=row.key,
        created_by="pkcs11-init",
    )
    _finish(store, version, located)
    return Result(
        changed=True,
        values={
            "lock": lock.as_result(),
            "probe": probe,
            "key": _key_result(version, located, provider.check_value(version), row.state),
        },
        before={"versions": sorted(keys.rows)},
        after={"versions": sorted({*keys.rows, version})},
    )


def _locked(store: Store, located: KeyReference, install_id: str) -> InstallLock:
    """Return our provider's lock. Raises OpsError lock.init_refused when another provider's came first."""
    lock, _created = install_lock.acquire(store, provider=PROVIDER, installed_by="pkcs11-init", install_id=install_id)
    if lock.provider != PROVIDER:
        refusal = init_on_foreign_lock(lock.provider, lock.installed_at, lock.installed_by or "unknown")
        refusal.hint += f'; the key "{located.label}" with id {located.key_id.hex()} was just made and is unused'
        raise refusal
    return lock


def _finish(store: Store, version: int, located: KeyReference) -> None:
    keystore.initialise_active(store, version)
    keystore.repair_states(store)
    journal.append(store, "kek_pkcs11_init", {"version": version, "label": located.label})
    keystore.drop_intent(store, version)


def _predicted(lock: InstallLock | None, version: int, planned: KeyReference, probe: dict[str, Any]) -> Result:
    facts = _key_result(version, planned, None, "active" if version == 1 else "pre-activation")
    standing = lock.as_result() if lock is not None else _predicted_lock()
    return Result(
        changed=True,
        values={"lock": standing, "key": facts, "probe": probe},
        before={"versions": list(range(1, version))},
        after={"versions": list(range(1, version + 1))},
    )


def _predicted_lock() -> dict[str, Any]:
    return {"provider": PROVIDER, "installed_at": "", "installed_by": "pkcs11-init", "install_id": ""}


def _key_result(version: int, located: KeyReference, check_value: str | None, state: str) -> dict[str, Any]:
    return {
        "version": version,
        "label": located.label,
        "id": located.key_id.hex(),
        "check_value": check_value or "",
        "state": state,
    }


def _refused(code: str, found: str, hint: str) -> OpsError:
    return OpsError(found, code=code, hint=hint)
