# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Verb db_backup: a dump of the database that was read back, counted, and whose every envelope opened.

A backup is none before it has been decrypted. The source is only read, and only once: digest, counts and catalogue are
of the very bytes in the dump. A folder without manifest is an unfinished backup and is never trusted.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from .._domain.errors import OpsError
from .._domain.instants import rfc3339
from .._domain.result import Result
from .._domain.settings import Settings
from .._domain.what_travels import BOOKKEEPING
from .._installation.every_envelope import EveryEnvelope
from .._installation.installation import Installation, open_installation
from .._installation.layout_detection import remembered_layout
from .._installation.opened_records import unreadable
from .._installation.sealing import Failure
from .._installation.survey import Survey
from .._store import bundle, dump, private_files, records, unfinished
from .._store.bundle import Recipient
from .._store.connection import Store
from .._store.dump import BackupManifest, DumpedCollection, SealedSecrets
from .._store.every_record import DatabaseDigest, database_digest
from .._store.opener import open_trusted


@dataclass(frozen=True, slots=True)
class Options:
    """dest: folder of the backup; the dump is made in it as mongodump would, `dest/<database>/<collection>.bson`.

    recipients: age public keys to which the secrets file is encrypted; without any it is no part of the backup (X35).
    """

    dest: str
    recipients: tuple[str, ...] = ()


def run(settings: Settings, options: Options, *, check: bool, warn: Callable[[str], None]) -> Result:
    """Back up. Raises OpsError backup.*, record.unreadable, and what opening an installation raises."""
    dest = Path(options.dest)
    secrets = _secrets(settings, options, warn)
    with open_installation(settings) as installation:
        existing = _existing(dest, settings.service_uid, check=check)
        if existing is None and dest.exists() and _occupied(dest):
            raise OpsError(
                f"{dest} is not empty and holds no finished backup",
                code="backup.not_empty",
                hint="choose another `dest`, or remove the unfinished one",
            )
        if existing is None and not check:
            manifest, facts = _write(installation, dest, warn, secrets, settings.service_uid)
            return Result(changed=True, values={"manifest": manifest}, before={}, after=facts)
        digest = database_digest(installation.store)
        facts = _facts(digest)
        if existing is None:
            return Result(changed=True, values={"manifest": facts}, before={}, after=facts)
        damaged = dump.damaged_file(dest, existing, service_uid=settings.service_uid)
        if damaged is not None:
            raise OpsError(
                f"{damaged} is not what was written on {existing['created_at']}, or it is gone",
                code="backup.damaged",
                hint="keep it aside and take a new backup in another `dest`; this one cannot be relied on",
            )
        _require_recipients(dest, existing, options)
        if existing["source_digest"] == digest.hex():
            return Result(changed=False, values={"manifest": existing}, before=facts, after=facts)
        raise OpsError(
            f"{dest} holds a backup of {existing['created_at']} that is not of the database as it is now",
            code="backup.exists",
            hint="choose another `dest`; an old backup is never overwritten",
        )


@dataclass(frozen=True, slots=True)
class _Secrets:
    """The secrets file as it is, and to whom it is encrypted."""

    name: str
    content: bytes = field(repr=False)
    recipients: list[str]
    keys: list[Recipient] = field(repr=False)

    def write(self, folder: Path) -> SealedSecrets:
        file = f"{self.name}.age"
        sha256 = bundle.write_sealed(folder / file, self.content, self.keys)
        return {"file": file, "sha256": sha256, "recipients": self.recipients}


def _secrets(settings: Settings, options: Options, warn: Callable[[str], None]) -> _Secrets | None:
    """Return what is encrypted into the backup. Raises OpsError bundle.recipient_invalid, file.*."""
    if settings.secrets_file is None:
        return None
    path = Path(settings.secrets_file)
    if not options.recipients:
        warn(f"{path} is not in the backup: keep it elsewhere, or give `recipients` to whom it is encrypted")
        return None
    keys = bundle.recipients_from(options.recipients)
    with open_trusted(path, private=True, service_uid=settings.service_uid) as raw:
        content = raw.read()
    return _Secrets(path.name, content, sorted(options.recipients), keys)


def _require_recipients(dest: Path, existing: BackupManifest, options: Options) -> None:
    """Raises OpsError backup.exists where a backup has the secrets encrypted to others than are asked for."""
    kept = existing.get("secrets")
    if options.recipients and (kept is None or kept["recipients"] != sorted(options.recipients)):
        raise OpsError(
            f"{dest} holds a backup of {existing['created_at']} with the secrets file "
            + ("encrypted to other recipients" if kept else "left out"),
            code="backup.exists",
            hint="choose another `dest`; an old backup is never overwritten",
        )


def _existing(dest: Path, service_uid: int | None, *, check: bool) -> BackupManifest | None:
    """Return the manifest of the finished backup in a folder, None for none. Raises OpsError file.*."""
    if not private_files.require_fit(dest, service_uid=service_uid):
        return None
    if not check:
        unfinished.remove_dead(dest, rescue=lambda left: _finish(left, dest))
    return dump.read_manifest(dest, service_uid=service_uid)


def _finish(left: Path, dest: Path) -> None:
    """Finish a backup whose run died between the last two moves: all but its manifest is in place already."""
    if [one.name for one in left.iterdir()] == [dump.MANIFEST_FILE] and not (dest / dump.MANIFEST_FILE).exists():
        (left / dump.MANIFEST_FILE).replace(dest / dump.MANIFEST_FILE)


def _occupied(dest: Path) -> bool:
    """Return whether something is in a folder. A new file system has lost+found at its top."""
    return any(one.name != "lost+found" and not unfinished.is_unfinished(one.name) for one in dest.iterdir())


def _facts(digest: DatabaseDigest) -> dict[str, object]:
    return {"documents": digest.documents, "source_digest": digest.hex()}


def _write(
    installation: Installation,
    dest: Path,
    warn: Callable[[str], None],
    secrets: _Secrets | None,
    service_uid: int | None,
) -> tuple[BackupManifest, dict[str, object]]:
    with private_files.working_folder(dest, service_uid=service_uid) as working:
        folder = working / installation.store.name
        folder.mkdir(mode=0o700)
        digest = DatabaseDigest()
        written = {
            name: dump.write_collection(installation.store, name, folder, _raws(installation.store, name, digest))
            for name in installation.store.collection_names()
        }
        views = dump.write_views(installation.store, folder)
        found = _verified(installation, folder, written, warn)
        manifest: BackupManifest = {
            "created_at": rfc3339(installation.store.server_time()),
            "database": installation.store.name,
            "provider": installation.lock.provider,
            "install_id": installation.lock.install_id,
            "collections": written,
            "documents": sum(entry["documents"] for entry in written.values()),
            "envelopes": found.total,
            "kek_versions": sorted(found.by_version),
            "source_digest": digest.hex(),
            "views": views,
        }
        if secrets is not None:
            manifest["secrets"] = secrets.write(working)
        private_files.sync_folder(folder)
        dump.write_manifest(working, manifest)
        private_files.put_in_place(working, dest, last=dump.MANIFEST_FILE)
        return manifest, _facts(digest)


def _raws(store: Store, collection: str, digest: DatabaseDigest) -> Iterator[bytes]:
    """Yield a collection's documents as BSON; those of records enter the digest."""
    counts = collection not in BOOKKEEPING
    if counts:
        digest.begin(collection)
    for raw in records.stream_raw(store, collection):
        if counts:
            digest.add(raw)
        yield raw


def _verified(
    installation: Installation, folder: Path, written: dict[str, DumpedCollection], warn: Callable[[str], None]
) -> Survey:
    """Read the dump back, count it, open every envelope in it; return what it holds.

    Raises OpsError backup.damaged, catalogue.outside, record.unreadable.
    """
    found = Survey()
    opener = EveryEnvelope(
        installation.provider,
        lambda sample: remembered_layout(installation.store, installation.provider, sample, warn=warn, note=False),
    )
    for name, entry in written.items():
        path = folder / entry["file"]

        def note(raw: bytes, name: str = name) -> None:
            if name not in BOOKKEEPING:
                found.note_raw(installation.catalogue, name, raw, opener.add)

        back = dump.read_back(path, note)
        # The versions of the label are those of the envelopes in it, opened here, and not of the database (X2).
        if back["documents"] != entry["documents"]:
            raise _damaged(path, f"it reads back as {back['documents']} documents, {entry['documents']} were written")
        if back["sha256"] != entry["sha256"]:
            raise _damaged(path, "its SHA-256 is not that of what was written")
    found.require_catalogued()
    opener.finish()
    failures = [*(Failure(**anomaly) for anomaly in found.anomalies), *opener.failures]
    if failures:
        raise unreadable(failures, len(found.anomalies) + opener.failed)
    return found


def _damaged(path: Path, found: str) -> OpsError:
    return OpsError(
        f"backup {path} does not read back: {found}",
        code="backup.damaged",
        hint="is the disk full or failing? nothing else was done; take the backup again elsewhere",
    )
