# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""An old installation as far as its records tell of it, and its keys: what a certificate is brought back from.

Nothing is written to it, no lease and no note of a refused PIN: logins to its token take their turn at the destination.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace

from .._domain.errors import OpsError
from .._domain.heartbeat import Fleet
from .._domain.settings import PROVIDER, Settings
from .._keys import registry
from .._keys.provider import Provider
from .._store import install_lock, keystore, layout_record, record_bytes
from .._store.install_lock import InstallLock
from .._store.keystore import Keystore
from .canaries import prove_canaries
from .certificate_records import PROJECTS, Projects, shown
from .installation import Installation
from .login_turn import first_login
from .old_records import OldRecords
from .standing_keys import references


@dataclass(frozen=True, slots=True)
class OldInstallation:
    """layout: the name of that which was noted, None where none was. fleet: as its heartbeats tell, None for a dump."""

    records: OldRecords
    lock: InstallLock
    keys: Keystore
    layout: str | None
    projects: Projects
    fleet: Fleet | None = None

    @property
    def is_served(self) -> bool:
        return self.fleet is not None and bool(self.fleet.live)


def look_at(old: OldRecords, fleet: Fleet | None = None) -> OldInstallation:
    """Return what an old installation tells of itself. Raises OpsError recover.no_lock, and what the reading raises."""
    held: dict[str, list[bytes]] = {
        name: [] for name in (install_lock.COLLECTION, keystore.COLLECTION, layout_record.COLLECTION, PROJECTS)
    }
    old.read({name: raws.append for name, raws in held.items()})
    locks = [record_bytes.decode_record(install_lock.COLLECTION, raw) for raw in held[install_lock.COLLECTION]]
    lock = next((one for one in locks if one["_id"] == install_lock.LOCK_ID), None)
    if lock is None:
        raise OpsError(
            f"{old.name} has no install lock (kek_install), expected that of an installation",
            code="recover.no_lock",
            hint="give the database or the whole dump of an installation of the product; nothing was written",
        )
    rows = [record_bytes.decode_record(keystore.COLLECTION, raw) for raw in held[keystore.COLLECTION]]
    keys, unread = keystore.from_documents(rows)
    if unread:
        raise unread[0]
    noted = [shown(raw).get("name") for raw in held[layout_record.COLLECTION]]
    return OldInstallation(
        records=old,
        lock=install_lock.from_document(lock),
        keys=keys,
        layout=str(noted[0]) if noted else None,
        projects=Projects(shown(raw) for raw in held[PROJECTS]),
        fleet=fleet,
    )


@contextmanager
def opened_keys(settings: Settings, old: OldInstallation, new: Installation) -> Iterator[Provider]:
    """Yield the provider of the old installation with its keys, whose canaries opened.

    settings: of the old one. Where they name no key and it is the same installation as the new one, the provider of the
    new one. Raises OpsError recover.keys_missing, lock.*, key.*, and what a login raises.
    """
    if _tells_nothing(settings):
        if old.lock.install_id is None or old.lock.install_id != new.lock.install_id:
            raise _keys_missing(old)
        yield new.provider
        return
    settings = _of_provider(settings, old.lock.provider)
    registry.check_lock(settings, installed=old.lock.provider, since=old.lock.installed_at)
    provider = registry.build_registry(settings, first_login=first_login(settings, new.store))
    try:
        provider.load(references(old.lock, old.keys))
        prove_canaries(provider, old.keys)
        yield provider
    finally:
        provider.close()


def _of_provider(settings: Settings, installed: str) -> Settings:
    """Return settings that name the provider of the lock where they name none."""
    if PROVIDER.name in settings.values:
        return settings
    values: Mapping[str, str] = {**settings.values, PROVIDER.name: installed}
    return replace(settings, values=values, origins={**settings.origins, PROVIDER.name: "the old install lock"})


def _tells_nothing(settings: Settings) -> bool:
    options = {one.name for kind in registry.KINDS for one in kind.OPTIONS}
    return not settings.keks and not options & {*settings.values, *settings.hidden}


def _keys_missing(old: OldInstallation) -> OpsError:
    return OpsError(
        f'{old.records.name} is of installation {old.lock.known_as}, sealed by provider "{old.lock.provider}", and '
        "none of its keys are given",
        code="recover.keys_missing",
        hint="give its secrets.env as `source_secrets_file`, and for an HSM `source_pkcs11_module_path` and "
        "`source_pkcs11_token_label` as well; a backup that holds secrets.env.age needs its `identity_file` only",
    )
