# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Verb db_backup_check: is a backup whole, does it open, is it of the database as it is, where else are its keys?

1. Every file is what backup.json says, and nothing else is there.
2. The documents are read and counted; lock and keystore are taken from among them.
3. Every envelope is opened, with the keys of the installation whose files these are.
4. The database is read and compared, where it still is that installation's.
5. The keys are looked for in other places: in the backup itself, in a copy of secrets.env, in the token.
It reads, and writes nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from .._domain.catalogue import Catalogue
from .._domain.errors import OpsError
from .._domain.result import Result
from .._domain.settings import Settings
from .._domain.values import JsonObject
from .._dumps import backup_manifest, dump_source
from .._dumps.backup_manifest import BackupManifest
from .._installation import whole_dump
from .._installation.backup_keys import Places, SavedKeys
from .._installation.canaries import prove_canaries
from .._installation.dump_proof import DumpProof
from .._installation.installation import Installation, open_database
from .._installation.login_turn import first_login, later_logins
from .._installation.standing_keys import references
from .._keys import registry
from .._store import age_keys, install_lock
from .._store.age_keys import Identity
from .._store.connection import Store
from .._store.every_record import database_digest


@dataclass(frozen=True, slots=True)
class Options:
    """src: a folder that db_backup made. identity_file: opens what is encrypted in it.

    manifest_sha256, install_id: of the one backup, and of the installation, that are meant. opened: also open every
    envelope, compare with the database and look for the keys; without it no key and no database is needed.
    escrow_file: a copy of secrets.env that is kept elsewhere.
    """

    src: str
    identity_file: str | None = None
    manifest_sha256: str | None = None
    install_id: str | None = None
    opened: bool = True
    escrow_file: str | None = None


def run(settings: Settings, options: Options, *, check: bool, warn: Callable[[str], None]) -> Result:
    """Look. Raises OpsError restore.missing, backup.*, bundle.*, record.unreadable, lock.*, key.*, file.*."""
    identity = None
    if options.identity_file is not None:
        identity = age_keys.identity_from(Path(options.identity_file), service_uid=settings.service_uid)
    if not options.opened:
        nothing: JsonObject = {"opened": None, "of_now": None, "keys": None, "only_here": None}
        return _result(_whole(settings, options), nothing)
    with open_database(settings) as store:
        manifest = _whole(settings, options)
        return _result(manifest, _opened(settings, options, identity, manifest, store, warn))


def _result(manifest: BackupManifest, facts: JsonObject) -> Result:
    return Result(changed=False, values={"backup": _told(manifest), **facts}, before={}, after={})


def _whole(settings: Settings, options: Options) -> BackupManifest:
    """Return what the backup says of itself. Raises OpsError backup.not_ours, .other_installation, .damaged."""
    src, uid = Path(options.src), settings.service_uid
    manifest = backup_manifest.read(src, service_uid=uid) if src.is_dir() else None
    if manifest is None:
        raise OpsError(
            f"{src} is not a backup that db_backup made: there is no {backup_manifest.MANIFEST_FILE} in it",
            code="backup.not_ours",
            hint="give the `dest` of db_backup; what mongodump wrote has no digests that could be checked",
        )
    dump_source.require_this(src, manifest, options.manifest_sha256)
    if options.install_id is not None and manifest["install_id"] != options.install_id:
        raise OpsError(
            f"{src} is a backup of installation {manifest['install_id']}, expected one of {options.install_id}",
            code="backup.other_installation",
            hint="give the backup of the installation that is meant",
        )
    backup_manifest.require_whole(src, manifest, service_uid=uid)
    return manifest


def _opened(
    settings: Settings, options: Options, identity: Identity | None, manifest: BackupManifest, store: Store,
    warn: Callable[[str], None],
) -> JsonObject:  # fmt: skip
    form, _again = dump_source.find(
        Path(options.src), identity=identity, from_database=None, manifest_sha256=options.manifest_sha256,
        service_uid=settings.service_uid,
    )  # fmt: skip
    saved = SavedKeys()
    whole_dump.read(options.src, form, manifest, saved.note)
    with _keys_of(settings, store, saved, options.src) as installation:
        proof = DumpProof(installation, warn)
        form.read(proof.note)
        places = Places(Path(options.src), manifest, identity, options.escrow_file or "")
        elsewhere = places.holding(settings, installation.provider, installation.keystore)
        return {
            "opened": proof.finish().total,
            "of_now": _is_of_now(store, manifest),
            "keys": {str(version): held for version, held in elsewhere.items()},
            "only_here": [version for version, held in elsewhere.items() if not held],
        }


@contextmanager
def _keys_of(settings: Settings, store: Store, saved: SavedKeys, src: str) -> Iterator[Installation]:
    """Yield the installation as the backup tells of it, its keys loaded and proven by the canaries in the backup."""
    lock, keys = saved.lock(src), saved.keystore()
    registry.check_lock(settings, installed=lock.provider, since=lock.installed_at)
    provider = registry.build_registry(settings, first_login=first_login(settings, store))
    try:
        with later_logins(settings, store):
            provider.load(references(lock, keys))
            prove_canaries(provider, keys)
            yield Installation(store, lock, keys, provider, Catalogue(settings.catalogue))
    finally:
        provider.close()


def _is_of_now(store: Store, manifest: BackupManifest) -> bool | None:
    """Return whether the database has the records of the backup; None where it is not that installation's any more."""
    lock = install_lock.read(store)
    if lock is None or lock.install_id != manifest["install_id"]:
        return None
    return database_digest(store).hex() == manifest["source_digest"]


def _told(manifest: BackupManifest) -> JsonObject:
    told = ("created_at", "database", "provider", "install_id", "documents", "envelopes", "kek_versions")
    sealed = manifest.get("secrets")
    return {
        **{name: manifest[name] for name in told},  # type: ignore[literal-required]
        "source_digest": manifest["source_digest"],
        "manifest_sha256": backup_manifest.sha256(manifest),
        "encrypted": "recipients" in manifest,
        "secrets_sealed": sealed is not None,
        "files": manifest.get("files", {}),
    }
