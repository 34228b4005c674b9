# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Verb kek_install_lock: write the install lock once, or say what it says.

Order: settings, lock, survey, keys, lock written, first keystore row. A crash after the lock is finished by running it
again. A KEK is never made here. Where the lock is there already, this host's keys are proven by their canaries.
"""

from __future__ import annotations

import contextlib
import uuid
from collections.abc import Callable
from dataclasses import dataclass

from .._domain.catalogue import Catalogue
from .._domain.errors import OpsError
from .._domain.listing import LISTED_AT_MOST
from .._domain.result import Result
from .._domain.settings import Settings
from .._installation import survey as surveys
from .._installation.every_envelope import EveryEnvelope
from .._installation.first_row import ensure_first_row
from .._installation.installation import open_database, opened_keys
from .._installation.layout_detection import remembered_layout
from .._installation.refusals import envelopes_without_lock, rows_without_lock
from .._installation.survey import Survey
from .._keys import registry
from .._store import install_lock, journal, keystore
from .._store.connection import Store
from .._store.install_lock import InstallLock


@dataclass(frozen=True, slots=True)
class Options:
    """adopt: take over a database that holds envelopes but no lock, if all of them prove to be this provider's."""

    adopt: bool = False


def run(settings: Settings, options: Options, *, check: bool, warn: Callable[[str], None]) -> Result:
    """Lock the database for the configured provider. Raises OpsError lock.*, key.*, settings.*."""
    with open_database(settings) as store:
        _checked_lock(settings, store)  # refused before the database is walked
        found = surveys.take(store, Catalogue(settings.catalogue))
        # WHY in this order: rows always come after their lock, so whoever sees rows sees the lock of a first start.
        keys = keystore.read(store)
        lock = _checked_lock(settings, store)
        if lock is None and found.total:
            if not options.adopt:
                raise envelopes_without_lock(store, found.total)
            _prove_all_open(settings, store, found, warn)
            lock = _checked_lock(settings, store)  # again: the login waited for other hosts
        if lock is None and not found.total and keys.rows:
            raise rows_without_lock(store, keys)
        return _lock(settings, store, lock, found, check=check)


def _checked_lock(settings: Settings, store: Store) -> InstallLock | None:
    """Return the lock as it is now. Raises OpsError lock.unknown_provider, lock.provider_mismatch."""
    lock = install_lock.read(store)
    if lock is not None:
        registry.check_lock(settings, installed=lock.provider, since=lock.installed_at)
    return lock


def _lock(settings: Settings, store: Store, lock: InstallLock | None, found: Survey, *, check: bool) -> Result:
    kind = registry.configured(settings)
    keys = keystore.read(store)
    # WHY only keys that are given: those of a device are made, with their row, by kek_pkcs11_init.
    needs_row = not kind.DEVICE and (not keys.rows or keys.active is None) and (lock is None or not found.total)
    before = {} if lock is None else {"provider": lock.provider, "installed_by": lock.installed_by}
    if lock is not None and not needs_row:
        if keys.rows:  # WHY: "unchanged" would be read as "fit", on a host whose KEK is another one (X64)
            with opened_keys(settings, store, lock):
                pass
        return Result(changed=False, values={"lock": lock.as_result()}, before=before, after=before)
    if needs_row:
        kind.from_settings(settings)  # a lock without a KEK would shut out whoever holds the right one
    after = {"provider": kind.NAME, "installed_by": kind.INSTALLED_BY}
    if check:
        shown = lock.as_result() if lock is not None else install_lock.predicted(kind.NAME, kind.INSTALLED_BY)
        return Result(changed=True, values={"lock": shown}, before=before, after=after)
    created = False
    if lock is None:
        lock, created = install_lock.acquire(
            store, provider=kind.NAME, installed_by=kind.INSTALLED_BY, install_id=uuid.uuid4().hex
        )
        registry.check_lock(settings, installed=lock.provider, since=lock.installed_at)
    wrote_row = needs_row and _first_row(settings, store, kind.INSTALLED_BY, found)
    if created or wrote_row:
        journal.append(store, "kek_install_lock", {"provider": kind.NAME, "adopted": found.total})
    return Result(changed=created or wrote_row, values={"lock": lock.as_result()}, before=before, after=after)


def _first_row(settings: Settings, store: Store, created_by: str, found: Survey) -> bool:
    with contextlib.closing(registry.build_registry(settings)) as provider:
        versions = [version for version in provider.versions() if not found.total or version in found.by_version]
        # WHY the newest one that envelopes use: it is what the old service wrote with last; a fresh one begins at its
        # lowest KEK version.
        first = max(versions) if found.total else min(versions)
        return ensure_first_row(store, provider, first, created_by)


def _prove_all_open(settings: Settings, store: Store, found: Survey, warn: Callable[[str], None]) -> None:
    """Raises OpsError lock.adoption_refused unless every envelope is this provider's and opens."""
    found.require_catalogued()
    lock = InstallLock(registry.configured(settings).NAME, None, None, None)
    with opened_keys(settings, store, lock) as opened:
        opener = EveryEnvelope(
            opened.provider, lambda sample: remembered_layout(store, opened.provider, sample, warn=warn, note=False)
        )
        surveys.take(store, opened.catalogue, each=opener.add)
        opener.finish()
        failures = [*found.anomalies, *(failure.as_result() for failure in opener.failures)]
        failed = len(found.anomalies) + opener.failed
    if failures:
        raise OpsError(
            f"{failed} of {found.total} envelopes are not proven to be this installation's, the first: "
            f"{failures[0]['place']}: {failures[0]['reason']}",
            code="lock.adoption_refused",
            hint="configure the KEK that sealed them; nothing was written",
            failures=failures[:LISTED_AT_MOST],
        )
