# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Verb db_backup: a dump of the database that was read back, counted, and whose every envelope opened.

A backup is none before it has been decrypted. The source is only read. A folder without manifest is an unfinished
backup and is never trusted.
"""

from __future__ import annotations

import json
import shutil
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .._domain.errors import OpsError
from .._domain.instants import rfc3339
from .._domain.result import Result
from .._domain.settings import Settings
from .._domain.what_travels import BOOKKEEPING
from .._installation import opened_records
from .._installation import survey as surveys
from .._installation.installation import Installation, open_installation
from .._installation.layout_detection import detect_layout
from .._installation.sealing import Sealing
from .._store import dump, private_files, records

MANIFEST_FILE = "backup.json"


@dataclass(frozen=True, slots=True)
class Options:
    """dest: folder of the backup; the dump is made in it as mongodump would, `dest/<database>/<collection>.bson`."""

    dest: str


def run(settings: Settings, options: Options, *, check: bool, warn: Callable[[str], None]) -> Result:
    """Back up. Raises OpsError backup.*, record.unreadable, and what opening an installation raises."""
    dest = Path(options.dest)
    with open_installation(settings) as installation:
        digest, documents = records.database_digest(installation.store)
        facts = {"documents": documents, "source_digest": digest}
        standing = _standing(dest)
        if standing is not None:
            if standing["source_digest"] == digest and _intact(dest, standing):
                return Result(changed=False, values={"manifest": standing}, before=facts, after=facts)
            raise OpsError(
                f"{dest} holds a backup of {standing['created_at']} that is not of the database as it is now",
                code="backup.exists",
                hint="choose another `dest`; an old backup is never overwritten",
            )
        if dest.exists() and any(dest.iterdir()):
            raise OpsError(
                f"{dest} is not empty and holds no finished backup",
                code="backup.not_empty",
                hint="choose another `dest`, or remove the unfinished one",
            )
        if check:
            return Result(changed=True, values={"manifest": facts}, before={}, after=facts)
        return Result(changed=True, values={"manifest": _write(installation, dest, digest)}, before={}, after=facts)


def _write(installation: Installation, dest: Path, digest: str) -> dict[str, Any]:
    working = dest.parent / f".{dest.name}.{uuid.uuid4().hex}"
    folder = working / installation.store.name
    private_files.private_folder(working)
    private_files.private_folder(folder)
    try:
        written = {
            name: dump.write_collection(installation.store, name, folder)
            for name in installation.store.collection_names()
        }
        envelopes, versions = _verify(installation, folder, written)
        manifest = {
            "created_at": rfc3339(installation.store.server_time()),
            "database": installation.store.name,
            "provider": installation.lock.provider,
            "install_id": installation.lock.install_id,
            "collections": written,
            "documents": sum(entry["documents"] for entry in written.values()),
            "envelopes": envelopes,
            "kek_versions": versions,
            "source_digest": digest,
        }
        manifest = json.loads(json.dumps(manifest))
        dump.write_manifest(working / MANIFEST_FILE, manifest)
        private_files.sync_folder(folder)
        private_files.sync_folder(working)
        if dest.exists():
            dest.rmdir()
        working.replace(dest)
        private_files.sync_folder(dest.parent)
        return dict(manifest)
    finally:
        shutil.rmtree(working, ignore_errors=True)


def _verify(installation: Installation, folder: Path, written: dict[str, dict[str, Any]]) -> tuple[int, list[int]]:
    """Read the dump back, count it, open every envelope in it; return how many, and the KEK versions they need."""
    found = surveys.take(installation.store, installation.catalogue)
    found.require_catalogued()
    sealing = Sealing(installation.provider, detect_layout(installation.provider, found.sample))
    envelopes = 0
    for name, entry in written.items():
        path, documents = folder / entry["file"], 0
        if dump.file_sha256(path) != entry["sha256"]:
            raise _damaged(path, "its SHA-256 is not that of what was written")
        for batch in records.batches(dump.read_collection(path), records.READ_BATCH):
            documents += len(batch)
            if name not in BOOKKEEPING:
                opened = opened_records.open_documents(sealing, installation.catalogue, name, batch)
                envelopes += sum(len(opened_records.plain_fields(document)) for document in opened)
        if documents != entry["documents"]:
            raise _damaged(path, f"it reads back as {documents} documents, {entry['documents']} were written")
    return envelopes, sorted(found.by_version)


def _standing(dest: Path) -> dict[str, Any] | None:
    try:
        found = json.loads((dest / MANIFEST_FILE).read_text("utf-8"))
    except (FileNotFoundError, NotADirectoryError, ValueError):
        return None
    return dict(found) if isinstance(found, dict) and "source_digest" in found and "collections" in found else None


def _intact(dest: Path, manifest: dict[str, Any]) -> bool:
    folder = dest / manifest["database"]
    try:
        return all(dump.file_sha256(folder / e["file"]) == e["sha256"] for e in manifest["collections"].values())
    except FileNotFoundError:
        return False


def _damaged(path: Path, found: str) -> OpsError:
    return OpsError(
        f"backup {path} does not read back: {found}",
        code="backup.damaged",
        hint="is the disk full or failing? nothing else was done; take the backup again elsewhere",
    )
