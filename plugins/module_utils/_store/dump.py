# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A backup folder of the shape mongodump writes: per collection a .bson file and its .metadata.json.

We always write it ourselves, so the URI never enters a command line; mongorestore reads it. ADR-0009. Files are 0600 in
a 0700 folder, written beside the final name and renamed when complete.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

from .._domain.errors import OpsError
from .connection import Store, driver_errors
from .driver import Document, bson
from .records import decode, stream_raw


def write_collection(store: Store, collection: str, folder: Path) -> dict[str, Any]:
    """Write one collection; return {documents, sha256, file}."""
    name = file_name(collection)
    digest, documents = hashlib.sha256(), 0
    with _private(folder / f"{name}.bson") as raw:
        for document in stream_raw(store, collection):
            raw.write(document.raw)
            digest.update(document.raw)
            documents += 1
        raw.flush()
        os.fsync(raw.fileno())
    with driver_errors(store):
        options = store.collection(collection).options()
        indexes = [dict(index) for index in store.collection(collection).list_indexes()]
    metadata = {"indexes": indexes, "options": options, "collectionName": collection, "type": "collection"}
    with _private(folder / f"{name}.metadata.json") as raw:
        # WHY canonical extended JSON: mongorestore reads types from it, and an index key's 1 must stay an int32.
        raw.write(bson.json_util.dumps(metadata, json_options=bson.json_util.CANONICAL_JSON_OPTIONS).encode())
        raw.flush()
        os.fsync(raw.fileno())
    return {"documents": documents, "sha256": digest.hexdigest(), "file": f"{name}.bson"}


def file_name(collection: str) -> str:
    """Return the file's base name as mongodump makes it: reserved characters percent-encoded."""
    return quote(collection, safe="!$&'()*+,;=:@ ~")


def read_collection(path: Path) -> Iterator[Document]:
    """Yield the documents of a .bson file. Raises OpsError backup.damaged where it ends early or is no BSON."""
    with path.open("rb") as raw:
        while head := raw.read(4):
            body = raw.read(max(int.from_bytes(head, "little") - 4, 0)) if len(head) == 4 else b""
            try:
                yield decode(head + body)
            except ValueError:
                raise OpsError(
                    f"{path} cannot be read back: damaged near byte {raw.tell()}",
                    code="backup.damaged",
                    hint="is the disk full or failing? take the backup again; nothing else was done",
                ) from None


def file_sha256(path: Path) -> str:
    """Return the SHA-256 of a file in hex."""
    with path.open("rb") as raw:
        return hashlib.file_digest(raw, "sha256").hexdigest()


def write_manifest(path: Path, manifest: dict[str, Any]) -> None:
    """Write the backup's own manifest, last: a folder without one is no backup."""
    with _private(path) as raw:
        raw.write((json.dumps(manifest, indent=2, sort_keys=True) + "\n").encode())
        raw.flush()
        os.fsync(raw.fileno())


def _private(path: Path) -> Any:
    return os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb")
