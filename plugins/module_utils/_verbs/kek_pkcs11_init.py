# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Verb kek_pkcs11_init: one key in the HSM, one row, one lock; a crash anywhere is finished by running it again.

Steps, each leaving a state the next run recognises:
 1 lock      read and checked; on another provider's lock the HSM is never touched
 2 database  no envelope without lock, no envelope that already names the new version
 3 login     in turn with other hosts
 4 probe     token, mechanisms, IV mode
 5 token     it holds every key that something needs, and each opens its canary: else it is another token (X52)
 6 lease     one host makes keys at a time; whoever waited for it finds the other's work, and changes nothing
 7 intent    label, id and install id written down before the key exists
 8 key       made inside the token if, and only if, none carries the intent's label or id
 9 canary    sealed and opened again, still only in memory
10 lock      inserted if absent; another provider's lock that came first ends the run here (ADR-0010)
11 row       in the keystore, active version initialised, intent removed
INVARIANT: a version that any row or envelope mentions never gets a new key; a missing key is then a refusal.
INVARIANT: steps 3 and 6 wait; what is decided after them is decided by what was read after them (ADR-0018).
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from .._domain.catalogue import Catalogue
from .._domain.errors import KeyNotHere, OpsError
from .._domain.key_names import KeyReference
from .._domain.result import Result
from .._domain.settings import Settings
from .._domain.values import JsonObject
from .._domain.vendor_messages import init_on_foreign_lock
from .._installation import key_ceremony, key_record
from .._installation import survey as surveys
from .._installation.canaries import key_facts, make_canary, prove_canaries, with_tag
from .._installation.installation import open_database
from .._installation.key_record import KeyRecord, TokenDisagrees, matching_keys, needs_device
from .._installation.login_turn import first_login, later_logins
from .._installation.standing_keys import is_in_use, load_and_prove, references
from .._installation.survey import Survey
from .._keys import registry
from .._keys.kind import ProviderKind
from .._keys.provider import KeyAdmin, Provider
from .._store import install_lock, journal, keystore, leases
from .._store.connection import Store
from .._store.install_lock import InstallLock
from .._store.keystore import KeyRow, Keystore
from .._store.lease_renewal import Keeper

LEASE_NAME = "kek-init"
LEASE_S = 10  # renewed while its holder lives
WAIT_S = 120  # for other hosts that make a key, each in some seconds


@dataclass(frozen=True, slots=True)
class Options:
    """version: the KEK version to make, 1 on a fresh database. retry_refusal: see `login_turn.first_login`.

    record_file: where to write the record of the key's making, "" for nowhere.
    """

    version: int
    retry_refusal: str = ""
    record_file: str = ""


@dataclass(frozen=True, slots=True)
class _Init:
    """One run, from the login on. probe: what the token can do."""

    settings: Settings
    store: Store
    found: Survey
    version: int
    provider: Provider
    admin: KeyAdmin
    probe: JsonObject

    @property
    def kind(self) -> ProviderKind:
        return registry.configured(self.settings)

    def record(self) -> KeyRecord:
        """Return the version's record as it is now, checked as in steps 1 and 2."""
        record = key_record.read(self.settings, self.store, self.version)
        record.require_makeable(self.store, self.found)
        _require_this_token(self, record)  # 5
        return record

    def ceremony(self) -> JsonObject | None:
        """Return the record of the key's making, None where there is none (yet)."""
        row = keystore.read(self.store).rows.get(self.version)
        return dict(row.ceremony) if row is not None and row.ceremony is not None else None

    def result(self, record: KeyRecord, located: KeyReference, key_state: str, *, lock: InstallLock | None) -> Result:
        """Return what is shown. It is a change unless the row was there and nothing about it is left to do."""
        versions = sorted(record.keys.rows)
        loaded = self.version in self.provider.versions()
        check_value = self.provider.check_value(self.version) if loaded else located.check_value
        key: JsonObject = {
            "version": self.version,
            "label": located.label,
            "id": located.key_id.hex(),
            "check_value": check_value or "",
            "state": str(key_state),
        }
        predicted = install_lock.predicted(self.kind.NAME, self.kind.INSTALLED_BY)
        return Result(
            changed=not record.complete,
            values={
                "lock": lock.as_result() if lock else predicted,
                "key": key,
                "probe": self.probe,
                "ceremony": self.ceremony(),
            },
            before={"versions": versions},
            after={"versions": sorted({*versions, self.version})},
        )


def run(settings: Settings, options: Options, *, check: bool, warn: Callable[[str], None]) -> Result:
    """Make the key of a KEK version, or prove the one there is. Raises OpsError lock.*, init.*, pkcs11.*, key.*."""
    version = options.version
    if version < 1:
        raise OpsError(f"version {version}", code="init.version", hint="KEK versions are whole numbers from 1")
    with open_database(settings) as store:
        key_record.checked_lock(settings, store)  # 1
        found = surveys.take(store, Catalogue(settings.catalogue))
        key_record.read(settings, store, version).require_makeable(store, found)  # 2
        # WHY no queue for a check run on a fresh database: the lease would be the first thing in it.
        queue = not check or bool(store.collection_names())
        turn = first_login(settings, store, queue=queue, retry_refusal=options.retry_refusal)
        with (
            later_logins(settings, store),
            contextlib.closing(registry.build_registry(settings, first_login=turn)) as provider,  # 3
        ):
            admin = provider.key_admin
            if admin is None:
                raise needs_device(registry.configured(settings))
            init = _Init(settings, store, found, version, provider, admin, admin.probe())  # 4
            done = _proven_or_predicted(init) if check else _proven_or_made(init)
    if not options.record_file:
        return done
    known = done.values["ceremony"]
    wrote = key_ceremony.write(
        Path(options.record_file), known if isinstance(known, dict) else None, check=check,
        service_uid=settings.service_uid,
    )  # fmt: skip
    return replace(done, changed=done.changed or wrote)


def _require_this_token(init: _Init, record: KeyRecord) -> None:
    """Raises OpsError init.other_token, key.wrong where the token lacks a key that something needs.

    For a version that is there already, what the token says of the key is the answer: pkcs11.key_not_found, .wrong_key.
    """
    if record.lock is None or not record.keys.rows:
        return
    try:
        load_and_prove(init.store, Catalogue(init.settings.catalogue), init.provider, record.lock, record.keys)
    except KeyNotHere as refusal:
        if record.exists:
            raise
        serial = init.probe.get("token_serial") or "not told"
        raise OpsError(
            f"this token (serial {serial}) is not the one of this installation: {refusal.message}",
            code="init.other_token",
            hint="name the token that holds these keys, by its serial number too where two have one label, or let the "
            "user named here read them; nothing was made",
        ) from None


def _proven_or_made(init: _Init) -> Result:
    record = init.record()
    if record.complete:
        return _proven(init, record)
    with _alone(init.store) as keeper:  # 6
        record = init.record()
        return _completed(init, record) if record.exists else _made(init, record, keeper)


def _proven_or_predicted(init: _Init) -> Result:
    record = init.record()
    while not record.exists:
        planned = record.planned(init.kind)
        try:
            matching_keys(init.admin, planned.key, begun=record.intent is not None)
        except TokenDisagrees:
            # WHY again: a check run takes no lease, so another host may be making the key now, after its intent.
            before, record = record, init.record()
            if record == before:
                raise
        else:
            return init.result(record, planned.key, record.first_state, lock=record.lock)
    return _proven(init, record)


@contextmanager
def _alone(store: Store) -> Iterator[Keeper]:
    lease = leases.acquire_within(store, LEASE_NAME, lease_s=LEASE_S, wait_s=WAIT_S)
    with leases.kept(store, lease, lease_s=LEASE_S) as keeper:
        yield keeper


def _proven(init: _Init, record: KeyRecord) -> Result:
    """The row is there: its key must be in the token and open the canary, unless the version was removed (X51)."""
    row, located = record.keys.rows[init.version], _located(init, record)
    if row.removed:
        return init.result(record, located, row.state, lock=record.lock)
    try:
        init.provider.load({init.version: located})
    except KeyNotHere as refusal:
        if not is_in_use(init.found.by_version, record.keys, init.version):
            refusal.hint += f"; nothing needs version {init.version}: kek_remove retires it without its key"
        raise
    prove_canaries(init.provider, Keystore({init.version: row}, None))
    return init.result(record, located, row.state, lock=record.lock)


def _completed(init: _Init, record: KeyRecord) -> Result:
    """Prove the key of a row that is there, then do what a crash left out."""
    proven = _proven(init, record)
    if record.complete:
        return proven
    located = _located(init, record)
    install_id = record.intent.install_id if record.intent else located.key_id[:16].hex()
    lock = _locked(init, located, install_id)  # 10
    _finish(init, located)  # 11
    return init.result(record, located, keystore.read(init.store).rows[init.version].state, lock=lock)


def _made(init: _Init, record: KeyRecord, keeper: Keeper) -> Result:
    planned = record.planned(init.kind)
    made_before = matching_keys(init.admin, planned.key, begun=record.intent is not None)
    intent = keystore.ensure_intent(init.store, planned)  # 7
    keeper.require()
    if not made_before:
        init.admin.generate_key(intent.key.label, intent.key.key_id)  # 8
    init.provider.load({init.version: intent.key})
    keeper.require()
    row = KeyRow(
        init.version,
        init.kind.NAME,
        record.first_state,
        make_canary(init.provider, init.version),  # 9
        key_facts(init.provider, init.version, {"label": intent.key.label, "id": intent.key.key_id.hex()}),
    )
    prove_canaries(init.provider, Keystore({init.version: row}, None))
    row = with_tag(init.provider, row)
    row = replace(row, ceremony=key_ceremony.record(init.store, init.admin, row, init.probe))
    lock = _locked(init, intent.key, intent.install_id)  # 10
    keystore.insert_row(  # 11
        init.store,
        version=row.version,
        provider=row.provider,
        state=row.state,
        canary=row.canary or {},
        key=row.key,
        created_by=init.kind.INSTALLED_BY,
        ceremony=row.ceremony,
    )
    _finish(init, intent.key)
    return init.result(record, intent.key, row.state, lock=lock)


def _located(init: _Init, record: KeyRecord) -> KeyReference:
    lock = record.lock or InstallLock(init.kind.NAME, None, None, None)
    return references(lock, record.keys, removed=True)[init.version]


def _locked(init: _Init, located: KeyReference, install_id: str) -> InstallLock:
    """Return our provider's lock. Raises OpsError lock.init_refused when another provider's came first."""
    kind = init.kind
    lock, _created = install_lock.acquire(
        init.store, provider=kind.NAME, installed_by=kind.INSTALLED_BY, install_id=install_id
    )
    if registry.locked_kind(lock.provider) is not kind:
        refusal = init_on_foreign_lock(lock.provider, lock.installed_at, lock.installed_by or "unknown")
        refusal.hint += f'; the key "{located.label}" with id {located.key_id.hex()} was just made and is unused'
        raise refusal
    return lock


def _finish(init: _Init, located: KeyReference) -> None:
    keystore.initialise_active(init.store, init.version)
    keystore.repair_states(init.store)
    facts: JsonObject = {"version": init.version, "label": located.label}
    made = keystore.read(init.store).rows[init.version].ceremony
    journal.append(init.store, "kek_pkcs11_init", {**facts, "ceremony": dict(made)} if made is not None else facts)
    keystore.drop_intent(init.store, init.version)
