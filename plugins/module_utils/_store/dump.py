# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A backup folder of the shape mongodump writes: per collection a .bson file and its .metadata.json.

We always write it ourselves, so the URI never enters a command line; mongorestore reads it. ADR-0009. Files are 0600 in
a 0700 folder, written beside the final name and renamed when complete. MANIFEST_FILE is written last: a folder without
it is no backup.
"""

from __future__ import annotations

import base64
import hashlib
import json
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, NotRequired, TypedDict, cast
from urllib.parse import quote

from .._domain.errors import FileMissing, OpsError
from .._domain.file_failures import failures_of
from .connection import COLLECTION, Store, driver_errors
from .driver import Document, bson
from .opener import open_trusted
from .private_files import new_file, read_trusted, sync_folder

MANIFEST_FILE = "backup.json"
_SMALLEST = 5  # bytes: of an empty document
_LENGTH = 4  # bytes: a BSON document begins with its size, int32 little endian
_LONGEST_NAME = 238  # bytes: longer file names are shortened, as mongodump does since release 100.1
_KEPT_OF_NAME = 208  # bytes


class DumpedCollection(TypedDict):
    """One collection's file: how many documents, its SHA-256 in hex, its name in the folder.

    metadata_sha256: of the file with its options and indexes; backups of release 0.1 have none.
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


class BackupManifest(TypedDict):
    """What a finished backup says of itself. source_digest: of the records in it, see `DatabaseDigest`.

    views: name of a view -> SHA-256 of the file that says how it was made. secrets: of the installation, encrypted.
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


# WHY not __required_keys__: with annotations that are text, Python 3.11 counts what need not be there as well.
_REQUIRED = BackupManifest.__annotations__.keys() - {"views", "secrets"}


def write_collection(store: Store, collection: str, folder: Path, raws: Iterable[bytes]) -> DumpedCollection:
    """Write one collection, its documents given as BSON, and the options and indexes it has."""
    name = file_name(collection)
    # WHY before the documents: what is created meanwhile is in neither, instead of an index over what is not there.
    indexes = store.indexes(collection)
    with driver_errors(store):
        options = store.collection(collection).options()
    digest, documents = hashlib.sha256(), 0
    with _private(folder / f"{name}.bson") as raw:
        for document in raws:
            raw.write(document)
            digest.update(document)
            documents += 1
    metadata = {"indexes": indexes, "options": options, "collectionName": collection, "type": "collection"}
    written = _write_metadata(folder / f"{name}.metadata.json", metadata)
    return {
        "documents": documents, "sha256": digest.hexdigest(), "file": f"{name}.bson", "metadata_sha256": written
    }  # fmt: skip


def write_views(store: Store, folder: Path) -> dict[str, str]:
    """Write how each view and time series was created, as mongodump does: neither keeps documents (X13).

    Return name -> SHA-256 of its file.
    """
    written = {}
    for one in store.collections():
        if one.kind != COLLECTION:
            metadata = {"indexes": [], "options": one.options, "collectionName": one.name, "type": one.kind}
            written[one.name] = _write_metadata(folder / f"{file_name(one.name)}.metadata.json", metadata)
    return written


def _write_metadata(path: Path, metadata: Document) -> str:
    # WHY canonical extended JSON: mongorestore reads types from it, and an index key's 1 must stay an int32.
    content = bson.json_util.dumps(metadata, json_options=bson.json_util.CANONICAL_JSON_OPTIONS).encode()
    with _private(path) as raw:
        raw.write(content)
    return hashlib.sha256(content).hexdigest()


def file_name(collection: str) -> str:
    """Return the base name of a collection's files as mongodump makes it: percent-encoded, and shortened if too long.

    WHY nothing is left as it is: mongorestore reads "+" as a blank in newer releases, and as itself in older ones; it
    finds the name of a shortened one in the metadata. Source: mongo-tools 100.18, mongodump/prepare.go.
    """
    name = quote(collection, safe="")
    if len(name) <= _LONGEST_NAME:
        return name
    # WHY SHA-1: mongodump's way; it only tells names apart.
    digest = hashlib.sha1(collection.encode(), usedforsecurity=False).digest()
    return f"{name[:_KEPT_OF_NAME]}%24{base64.urlsafe_b64encode(digest).decode().rstrip('=')}"


def read_back(path: Path, on_document: Callable[[bytes], None]) -> DumpedCollection:
    """Call `on_document` with each document of a .bson file, as BSON; return what the file holds, to compare it with.

    Raises OpsError backup.damaged where it ends early or is no BSON. What need not be decoded is not (X11).
    """
    digest, documents = hashlib.sha256(), 0
    with open_trusted(path, private=True) as raw, failures_of(path, writing=False):
        while head := raw.read(_LENGTH):
            whole = head + raw.read(max(int.from_bytes(head, "little") - _LENGTH, 0))
            digest.update(whole)
            documents += 1
            if len(whole) < _SMALLEST or len(whole) != int.from_bytes(head, "little") or whole[-1]:
                raise OpsError(
                    f"{path} cannot be read back: damaged near byte {raw.tell()}",
                    code="backup.damaged",
                    hint="is the disk full or failing? take the backup again; nothing else was done",
                )
            on_document(whole)
    return {"documents": documents, "sha256": digest.hexdigest(), "file": path.name}


def file_sha256(path: Path, *, service_uid: int | None = None) -> str:
    """Return the SHA-256 of a file in hex."""
    with open_trusted(path, private=False, service_uid=service_uid) as raw, failures_of(path, writing=False):
        return hashlib.file_digest(raw, "sha256").hexdigest()


def write_manifest(folder: Path, manifest: BackupManifest) -> None:
    """Write the backup's own manifest and make the folder durable."""
    with _private(folder / MANIFEST_FILE) as raw:
        raw.write((json.dumps(manifest, indent=2, sort_keys=True) + "\n").encode())
    sync_folder(folder)


def read_manifest(folder: Path, *, service_uid: int | None = None) -> BackupManifest | None:
    """Return the manifest of a finished backup, None for any other folder. Raises OpsError file.*."""
    try:
        found = json.loads(read_trusted(folder / MANIFEST_FILE, service_uid=service_uid))
    except (FileMissing, ValueError):
        return None
    if not isinstance(found, Mapping) or not set(found) >= _REQUIRED:
        return None
    whole = isinstance(found["collections"], Mapping) and isinstance(found["kek_versions"], list)
    return cast(BackupManifest, found) if whole else None


def damaged_file(folder: Path, manifest: BackupManifest, *, service_uid: int | None = None) -> str | None:
    """Return the first file of a backup that is missing, or not what was written; None when all are."""
    secrets = manifest.get("secrets")
    beside = {Path(secrets["file"]): secrets["sha256"]} if secrets else {}
    dumped = {Path(manifest["database"], name): sha256 for name, sha256 in _digests(manifest).items()}
    for name, sha256 in {**dumped, **beside}.items():
        path = folder / name
        if not path.is_file() or file_sha256(path, service_uid=service_uid) != sha256:
            return str(path)
    return None


def _digests(manifest: BackupManifest) -> dict[str, str]:
    """Return file name -> SHA-256, for every file that a backup has."""
    digests = {}
    for entry in manifest["collections"].values():
        digests[entry["file"]] = entry["sha256"]
        if "metadata_sha256" in entry:
            digests[f"{entry['file'].removesuffix('.bson')}.metadata.json"] = entry["metadata_sha256"]
    for name, sha256 in manifest.get("views", {}).items():
        digests[f"{file_name(name)}.metadata.json"] = sha256
    return digests


@contextmanager
def _private(path: Path) -> Iterator[BinaryIO]:
    """Yield a new 0600 file; at the end it is on the disk. Raises OpsError file.*."""
    with failures_of(path), new_file(path) as raw:
        yield raw
        raw.flush()
        os.fsync(raw.fileno())
