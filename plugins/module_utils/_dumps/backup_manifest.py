# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""backup.json, what a finished backup says of itself, and whether a folder still is what it says.

Written last: a folder without it is no backup. It has a digest of itself, so that a change of it is noticed as well.
That is against accidents: against somebody who makes a new one, keep its SHA-256 elsewhere (`manifest_sha256`).
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import NotRequired, TypedDict, cast

from .._domain.errors import FileMissing, OpsError
from .._domain.file_failures import failures_of
from .._store.private_files import file_sha256, new_file, read_trusted, sync_folder
from .._store.unfinished import is_unfinished

MANIFEST_FILE = "backup.json"
LOST = "lost+found"  # a new file system has this at its top
_AT_MOST = 64 * 1024 * 1024  # bytes of a manifest


class DumpedCollection(TypedDict):
    """One collection's file: how many documents, their SHA-256 in hex, its name in the folder.

    metadata_sha256: of its options and indexes, as in their file; backups of release 0.1 have none. All digests here
    are of what was there before it was encrypted.
    """

    documents: int
    sha256: str
    file: str
    metadata_sha256: NotRequired[str]


class SealedSecrets(TypedDict):
    """The secrets file in a backup: its name there, its SHA-256 in hex, the age public keys that open it."""

    file: str
    sha256: str
    recipients: list[str]


class KeptConfig(TypedDict):
    """config.yaml in a backup: its name there, and the SHA-256 in hex of what it says."""

    file: str
    sha256: str


class BackupManifest(TypedDict):
    """What a finished backup says of itself. source_digest: of the records in it, see `DatabaseDigest`.

    views: name of a view -> SHA-256 of what says how it was made. secrets, config: of the installation. files: path in
    the folder -> SHA-256 of the file as it lies there, of all but this one. recipients: to whom all of it is encrypted.
    """

    created_at: str
    database: str
    provider: str
    install_id: str | None
    collections: dict[str, DumpedCollection]
    documents: int
    envelopes: int
    kek_versions: list[int]
    source_digest: str
    views: NotRequired[dict[str, str]]
    secrets: NotRequired[SealedSecrets]
    config: NotRequired[KeptConfig]
    files: NotRequired[dict[str, str]]
    recipients: NotRequired[list[str]]
    own_sha256: NotRequired[str]


_REQUIRED = frozenset(
    {
        "created_at", "database", "provider", "install_id", "collections", "documents", "envelopes", "kek_versions",
        "source_digest",
    }
)  # fmt: skip


def write(folder: Path, manifest: BackupManifest) -> None:
    """Write a manifest and make the folder durable. Raises OpsError file.*."""
    path = folder / MANIFEST_FILE
    with failures_of(path), new_file(path) as raw:
        raw.write(_text(manifest))
        raw.flush()
        os.fsync(raw.fileno())
    sync_folder(folder)


def signed(manifest: BackupManifest) -> BackupManifest:
    """Return a manifest with the digest of itself."""
    return {**manifest, "own_sha256": _own_sha256(manifest)}


def sha256(manifest: BackupManifest) -> str:
    """Return the SHA-256 of a manifest's file in hex, as `sha256sum backup.json` tells it."""
    return hashlib.sha256(_text(manifest)).hexdigest()


def read(folder: Path, *, service_uid: int | None = None) -> BackupManifest | None:
    """Return the manifest of a finished backup, None for a folder without. Raises OpsError file.*, backup.damaged."""
    path = folder / MANIFEST_FILE
    try:
        content = read_trusted(path, at_most=_AT_MOST, service_uid=service_uid)
    except FileMissing:
        return None
    try:
        found = json.loads(content)
    except (ValueError, RecursionError):
        raise changed(path) from None
    if not isinstance(found, Mapping) or not set(found) >= _REQUIRED or not _is_sound(found):
        raise changed(path)
    manifest = cast(BackupManifest, found)
    # Backups of release 0.1 have no digest of themselves.
    if "own_sha256" in found and (found["own_sha256"] != _own_sha256(manifest) or content != _text(manifest)):
        raise changed(path)
    return manifest


def changed(path: Path) -> OpsError:
    """Return the failure for a file of a backup that is not what was written."""
    return OpsError(
        f"{path} is not what was written with its backup, or it is gone",
        code="backup.damaged",
        hint="keep it aside and take a new backup in another `dest`; this one cannot be relied on",
    )


def require_whole(folder: Path, manifest: BackupManifest, *, service_uid: int | None = None) -> None:
    """Raises OpsError backup.damaged: a file of the backup is missing, altered, or none of its files; it is named."""
    for name, wanted in _digests(manifest).items():
        path = folder / name
        if not path.is_file() or file_sha256(path, service_uid=service_uid) != wanted:
            raise changed(path)
    added = _added(folder, manifest)
    if added:
        raise OpsError(
            f"{added[0]} is not of the backup in whose folder it is",
            code="backup.damaged",
            hint="whoever restores the folder would take it for a part of the backup: find out who put it there, and "
            "move it away",
        )


def metadata_file(dump_file: str) -> str:
    """Return the name of the file with a collection's options and indexes. dump_file: of that with its documents."""
    base, bson, sealed = dump_file.rpartition(".bson")
    return f"{base}.metadata.json{sealed}" if bson else dump_file


def _added(folder: Path, manifest: BackupManifest) -> list[Path]:
    database = folder / manifest["database"]
    known = {folder / name for name in _digests(manifest)} | {database, folder / MANIFEST_FILE, folder / LOST}
    found = list(database.iterdir()) if database.is_dir() else []
    if "files" in manifest:
        found += [path for path in folder.iterdir() if not is_unfinished(path.name)]
    else:  # a backup of release 0.1 does not tell all of its files, and beside its dump the role kept config.yaml
        found = [path for path in found if not path.name.endswith(".metadata.json")]
    return sorted(set(found) - known)


def _digests(manifest: BackupManifest) -> dict[str, str]:
    """Return path in the folder -> SHA-256, for every file that a backup has but the manifest."""
    if "files" in manifest:
        return manifest["files"]
    digests = {}
    for entry in manifest["collections"].values():
        digests[entry["file"]] = entry["sha256"]
        if "metadata_sha256" in entry:
            digests[metadata_file(entry["file"])] = entry["metadata_sha256"]
    beside = {secrets["file"]: secrets["sha256"]} if (secrets := manifest.get("secrets")) else {}
    return {**{f"{manifest['database']}/{name}": value for name, value in digests.items()}, **beside}


def _is_sound(found: Mapping[str, object]) -> bool:
    """Return whether the parts are of their types and each path leads into the folder."""
    collections, database, files = found["collections"], found["database"], found.get("files", {})
    return (
        isinstance(collections, Mapping)
        and isinstance(found["kek_versions"], list)
        and isinstance(database, str)
        and _is_plain(database)
        and isinstance(found.get("views", {}), Mapping)
        and all(isinstance(entry, Mapping) and _is_entry(entry) for entry in collections.values())
        and isinstance(files, Mapping)
        and all(name.count("/") < 2 and all(map(_is_plain, name.split("/"))) for name in files)
        and all(_is_plain(str(one["file"])) for key in ("secrets", "config") if isinstance(one := found.get(key), dict))
    )


def _is_entry(entry: Mapping[str, object]) -> bool:
    file = entry.get("file")
    told = isinstance(entry.get("documents"), int) and isinstance(entry.get("sha256"), str)
    return told and isinstance(file, str) and _is_plain(file)


def _is_plain(name: str) -> bool:
    return name not in ("", ".", "..") and "/" not in name and "\0" not in name


def _own_sha256(manifest: BackupManifest) -> str:
    rest = cast(BackupManifest, {key: value for key, value in manifest.items() if key != "own_sha256"})
    return hashlib.sha256(_text(rest)).hexdigest()


def _text(manifest: BackupManifest) -> bytes:
    return (json.dumps(manifest, indent=2, sort_keys=True) + "\n").encode()
