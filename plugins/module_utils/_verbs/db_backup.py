# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Verb db_backup: a dump of the database that was read back, counted, and whose every envelope opened.

A backup is none before it has been decrypted. The source is only read, and only once: digest, counts and catalogue are
of the very bytes in the dump. What this host encrypts it cannot open again: then the envelopes are opened on their way
into the encryption, and what is read back is its output. A folder without manifest is an unfinished backup.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from .._domain.errors import OpsError
from .._domain.instants import rfc3339
from .._domain.listing import listed
from .._domain.result import Result
from .._domain.settings import Settings
from .._domain.what_travels import BOOKKEEPING
from .._dumps import backup_manifest, dump
from .._dumps.backup_manifest import LOST, MANIFEST_FILE, BackupManifest, DumpedCollection
from .._dumps.dump import FolderWriter
from .._installation.dump_proof import DumpProof
from .._installation.installation import Installation, open_installation
from .._installation.survey import Survey
from .._store import age_keys, private_files, records, unfinished
from .._store.age_keys import Recipient
from .._store.connection import Store
from .._store.every_record import DatabaseDigest, database_digest
from .._store.opener import open_trusted

SECRETS, ALL = "secrets", "all"


@dataclass(frozen=True, slots=True)
class Options:
    """dest: folder of the backup; the dump is made in it as mongodump would, `dest/<database>/<collection>.bson`.

    recipients: age public keys to which is encrypted what `encrypt` says; without any the secrets file is no part of
    the backup (X35). keep_config: whether config.yaml is put beside the dump.
    """

    dest: str
    recipients: tuple[str, ...] = ()
    encrypt: str = SECRETS
    keep_config: bool = False


def run(settings: Settings, options: Options, *, check: bool, warn: Callable[[str], None]) -> Result:
    """Back up. Raises OpsError backup.*, record.unreadable, and what opening an installation raises."""
    dest = Path(options.dest)
    beside = _beside(settings, options, warn)
    with open_installation(settings) as installation:
        existing = _existing(dest, settings.service_uid, check=check)
        if existing is None and dest.exists() and _occupied(dest):
            raise OpsError(
                f"{dest} is not empty and holds no finished backup",
                code="backup.not_empty",
                hint="choose another `dest`, or remove the unfinished one",
            )
        if existing is None and not check:
            manifest, facts = _write(installation, dest, warn, beside, settings.service_uid)
            return _result(manifest, changed=True, before={}, after=facts)
        digest = database_digest(installation.store)
        facts = _facts(digest)
        if existing is None:
            return Result(changed=True, values={"manifest": facts}, before={}, after=facts)
        backup_manifest.require_whole(dest, existing, service_uid=settings.service_uid)
        _require_same_form(dest, existing, beside)
        if existing["source_digest"] == digest.hex():
            return _result(existing, changed=False, before=facts, after=facts)
        raise _other(dest, existing, "that is not of the database as it is now")


def _result(manifest: BackupManifest, *, changed: bool, before: dict[str, object], after: dict[str, object]) -> Result:
    values = {"manifest": manifest, "manifest_sha256": backup_manifest.sha256(manifest)}
    return Result(changed=changed, values=values, before=before, after=after)


@dataclass(frozen=True, slots=True)
class _Beside:
    """What is put beside the dump, and to whom what is encrypted. secrets, config: (name, content)."""

    recipients: list[str]
    keys: list[Recipient] = field(repr=False)
    whole: bool
    secrets: tuple[str, bytes] | None = field(repr=False)
    config: tuple[str, bytes] | None = field(repr=False)

    @property
    def keys_of_dump(self) -> list[Recipient]:
        return self.keys if self.whole else []

    def write(self, working: Path, manifest: BackupManifest) -> BackupManifest:
        """Write it into a folder; return the manifest with what it says of it."""
        sealed, clear = FolderWriter(working, self.keys), FolderWriter(working, self.keys_of_dump)
        told: BackupManifest = {**manifest}
        if self.secrets is not None:
            file = sealed.put(self.secrets[0], [self.secrets[1]])
            told["secrets"] = {"file": file, "sha256": sealed.files[file], "recipients": self.recipients}
        if self.config is not None:
            told["config"] = self.told_of_config(clear.put(self.config[0], [self.config[1]]))
        told["files"] = {**manifest.get("files", {}), **sealed.files, **clear.files}
        for name, sha256 in told["files"].items():
            # Documents in clear were read back already.
            if (self.whole or not name.endswith(".bson")) and private_files.file_sha256(working / name) != sha256:
                raise _unlike(working / name, "its SHA-256 is not that of what was written")
        if self.whole:
            told["recipients"] = self.recipients
        return backup_manifest.signed(told)

    def told_of_config(self, file: str) -> backup_manifest.KeptConfig:
        return {"file": file, "sha256": hashlib.sha256(self.config[1] if self.config else b"").hexdigest()}


def _beside(settings: Settings, options: Options, warn: Callable[[str], None]) -> _Beside:
    """Return what goes with the dump. Raises OpsError bundle.recipient_invalid, backup.no_recipients, file.*."""
    if options.encrypt == ALL and not options.recipients:
        raise OpsError(
            "the whole backup is to be encrypted, and nobody is named who may open it",
            code="backup.no_recipients",
            hint="give age public keys as `recipients`, or leave `encrypt` out",
        )
    keys = age_keys.recipients_from(options.recipients)
    secrets = config = None
    if settings.secrets_file is not None and keys:
        secrets = _content(settings.secrets_file, settings.service_uid, private=True)
    elif settings.secrets_file is not None:
        warn(f"{settings.secrets_file} is not in the backup: keep it elsewhere, or give `recipients` to whom it is "
             "encrypted")  # fmt: skip
    if options.keep_config and settings.config_file is not None:
        config = _content(settings.config_file, settings.service_uid, private=False)
    return _Beside(sorted(options.recipients), keys, options.encrypt == ALL, secrets, config)


def _content(path: str, service_uid: int | None, *, private: bool) -> tuple[str, bytes]:
    with open_trusted(Path(path), private=private, service_uid=service_uid) as raw:
        return Path(path).name, raw.read()


def _require_same_form(dest: Path, existing: BackupManifest, beside: _Beside) -> None:
    """Raises OpsError backup.exists where a backup is not what is asked for: encrypted to others, or another config."""
    kept, config = existing.get("secrets"), existing.get("config")
    if beside.secrets is not None and (kept is None or kept["recipients"] != beside.recipients):
        raise _other(dest, existing, f"with the secrets file {'encrypted to other recipients' if kept else 'left out'}")
    if existing.get("recipients") != (beside.recipients if beside.whole else None):
        to = listed(existing.get("recipients", [])) or "nobody"
        raise _other(dest, existing, f"whose dump is encrypted to {to}")
    if beside.config is not None and (config is None or config != beside.told_of_config(config["file"])):
        raise _other(dest, existing, f"with another {beside.config[0]}, or without")


def _other(dest: Path, existing: BackupManifest, which: str) -> OpsError:
    return OpsError(
        f"{dest} holds a backup of {existing['created_at']} {which}",
        code="backup.exists",
        hint="choose another `dest`; an old backup is never overwritten",
    )


def _existing(dest: Path, service_uid: int | None, *, check: bool) -> BackupManifest | None:
    """Return the manifest of the finished backup in a folder, None for none. Raises OpsError file.*, backup.damaged."""
    if not private_files.require_fit(dest, service_uid=service_uid):
        return None
    if not check:
        unfinished.remove_dead(dest, rescue=lambda left: _finish(left, dest))
    return backup_manifest.read(dest, service_uid=service_uid)


def _finish(left: Path, dest: Path) -> None:
    """Finish a backup whose run died between the last two moves: all but its manifest is in place already."""
    if [one.name for one in left.iterdir()] == [MANIFEST_FILE] and not (dest / MANIFEST_FILE).exists():
        (left / MANIFEST_FILE).replace(dest / MANIFEST_FILE)


def _occupied(dest: Path) -> bool:
    """Return whether something is in a folder."""
    return any(one.name != LOST and not unfinished.is_unfinished(one.name) for one in dest.iterdir())


def _facts(digest: DatabaseDigest) -> dict[str, object]:
    return {"documents": digest.documents, "source_digest": digest.hex()}


def _write(
    installation: Installation, dest: Path, warn: Callable[[str], None], beside: _Beside, service_uid: int | None
) -> tuple[BackupManifest, dict[str, object]]:
    store = installation.store
    with private_files.working_folder(dest, service_uid=service_uid) as working:
        (working / store.name).mkdir(mode=0o700)
        into = FolderWriter(working / store.name, beside.keys_of_dump)
        digest, proof = DatabaseDigest(), DumpProof(installation, warn)
        note = proof.note if beside.whole else None
        written = {
            name: dump.write_collection(store, name, into, _raws(store, name, digest, note))
            for name in store.collection_names()
        }
        views = dump.write_views(store, into)
        if not beside.whole:
            _read_back(into.folder, written, proof.note)
        manifest = beside.write(working, _manifest(installation, written, views, proof.finish(), digest, into))
        private_files.sync_folder(into.folder)
        backup_manifest.write(working, manifest)
        private_files.put_in_place(working, dest, last=MANIFEST_FILE)
        return manifest, _facts(digest)


def _manifest(
    installation: Installation, written: dict[str, DumpedCollection], views: dict[str, str], found: Survey,
    digest: DatabaseDigest, into: FolderWriter,
) -> BackupManifest:  # fmt: skip
    return {
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
        "files": {f"{installation.store.name}/{name}": sha256 for name, sha256 in into.files.items()},
    }


def _raws(
    store: Store, collection: str, digest: DatabaseDigest, note: Callable[[str, bytes], None] | None
) -> Iterator[bytes]:
    """Yield a collection's documents as BSON; those of records enter the digest. note: called with each as well."""
    counts = collection not in BOOKKEEPING
    if counts:
        digest.begin(collection)
    for raw in records.stream_raw(store, collection):
        if counts:
            digest.add(raw)
        if note is not None:
            note(collection, raw)
        yield raw


def _read_back(folder: Path, written: dict[str, DumpedCollection], note: Callable[[str, bytes], None]) -> None:
    """Read the dump back, count it and hand on what is in it. Raises OpsError backup.damaged."""
    for name, entry in written.items():
        path = folder / entry["file"]
        back = dump.read_back(path, lambda raw, name=name: note(name, raw))  # type: ignore[misc]
        if back["documents"] != entry["documents"]:
            raise _unlike(path, f"it reads back as {back['documents']} documents, {entry['documents']} were written")
        if back["sha256"] != entry["sha256"]:
            raise _unlike(path, "its SHA-256 is not that of what was written")


def _unlike(path: Path, found: str) -> OpsError:
    return OpsError(
        f"backup {path} does not read back: {found}",
        code="backup.damaged",
        hint="is the disk full or failing? nothing else was done; take the backup again elsewhere",
    )
