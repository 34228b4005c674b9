# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""An installation, opened: database, lock, keystore and proven keys joined. Every verb begins here.

Order: settings, database, lock, login, keystore, keys, canaries. What is refused is refused before the next thing is
touched, and what a wait may have made old is read after it (ADR-0018).
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from .._domain.catalogue import Catalogue
from .._domain.settings import Settings
from .._keys import registry
from .._keys.provider import Provider
from .._store import install_lock, keystore, restore_mark
from .._store.connection import Store, open_store
from .._store.install_lock import InstallLock
from .._store.keystore import Keystore
from .._store.opening import beside
from .login_turn import first_login, later_logins
from .refusals import lock_missing
from .standing_keys import load_and_prove


@dataclass(frozen=True, slots=True)
class Installation:
    """What a verb works on. provider holds loaded keys whose canaries opened.

    absent: versions that nothing uses, and whose keys the device does not hold.
    """

    store: Store
    lock: InstallLock
    keystore: Keystore
    provider: Provider
    catalogue: Catalogue
    absent: tuple[int, ...] = ()


@contextmanager
def open_database(settings: Settings, *, restoring: bool = False) -> Iterator[Store]:
    """Yield a connected store, closed at the end. restoring: also one into which a dump is being restored.

    Raises OpsError restore.unfinished.
    """
    uri, database = settings.require_database()
    with open_store(uri, database, beside(settings)) as store:
        if not restoring:
            restore_mark.require_none(store)
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
    """Yield the installation of a database whose lock has been checked already. workers: processes for the HSM.

    INVARIANT: the keystore is read after the login, which waits for other hosts. The lock is not read again: once
    written it never changes.
    """
    turn = first_login(settings, store)
    with later_logins(settings, store):  # WHY around the opening too: every worker logs in, one after the other
        provider = registry.build_registry(settings, workers=workers, first_login=turn)
        try:
            keys, catalogue = keystore.read(store), Catalogue(settings.catalogue)
            absent = load_and_prove(store, catalogue, provider, lock, keys)
            yield Installation(store, lock, keys, provider, catalogue, absent)
        finally:
            provider.close()
