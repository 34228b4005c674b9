# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A backup folder of the shape mongodump writes: per collection a .bson file and its .metadata.json.

We always write it ourselves, so the URI never enters a command line; mongorestore reads it. ADR-0009. Files are 0600 in
a 0700 folder, written beside the final name and renamed when complete. Where recipients are given each file is an age
file of its own, `.age` behind its name, and no plaintext reaches the disk. ADR-0032.
"""

from __future__ import annotations

import base64
import hashlib
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from urllib.parse import quote

from .._domain.dumped import COLLECTION
from .._domain.errors import OpsError
from .._domain.file_failures import failures_of
from .._store import sealed_file
from .._store.age_keys import Recipient
from .._store.bson_pieces import BsonPieces
from .._store.connection import Store, driver_errors
from .._store.driver import Document, bson
from .._store.opener import open_trusted
from .._store.private_files import new_file
from .backup_manifest import DumpedCollection

_PIECE = 1024 * 1024  # bytes read at one time
_LONGEST_NAME = 238  # bytes: longer file names are shortened, as mongodump does since release 100.1
_KEPT_OF_NAME = 208  # bytes


class FolderWriter:
    """Writes into a new folder of a dump. recipients: to whom each file is encrypted; none leaves them in clear.

    files: name of each written file -> its SHA-256 in hex as it lies on the disk.
    """

    def __init__(self, folder: Path, recipients: Sequence[Recipient] = ()) -> None:
        self.folder = folder
        self.files: dict[str, str] = {}
        self._recipients = recipients

    def name_of(self, collection: str) -> str:
        """Return the base name of a collection's files here."""
        return file_name(collection, spare=len(sealed_file.SUFFIX) if self._recipients else 0)

    def put(self, name: str, pieces: Iterable[bytes]) -> str:
        """Write one file; return its name. Raises OpsError file.*."""
        if self._recipients:
            name += sealed_file.SUFFIX
            self.files[name] = sealed_file.write(self.folder / name, pieces, self._recipients)
            return name
        digest = hashlib.sha256()
        with failures_of(self.folder / name), new_file(self.folder / name) as raw:
            for piece in pieces:
                raw.write(piece)
                digest.update(piece)
            raw.flush()
            os.fsync(raw.fileno())
        self.files[name] = digest.hexdigest()
        return name


class _Counted:
    """Documents that are counted and digested as they pass."""

    def __init__(self, raws: Iterable[bytes]) -> None:
        self._raws = raws
        self.digest = hashlib.sha256()
        self.documents = 0

    def __iter__(self) -> Iterator[bytes]:
        for document in self._raws:
            self.digest.update(document)
            self.documents += 1
            yield document


def write_collection(store: Store, collection: str, into: FolderWriter, raws: Iterable[bytes]) -> DumpedCollection:
    """Write one collection, its documents given as BSON, and the options and indexes it has."""
    name = into.name_of(collection)
    # WHY before the documents: what is created meanwhile is in neither, instead of an index over what is not there.
    indexes = store.indexes(collection)
    with driver_errors(store):
        options = store.collection(collection).options()
    documents = _Counted(raws)
    file = into.put(f"{name}.bson", documents)
    metadata = {"indexes": indexes, "options": options, "collectionName": collection, "type": "collection"}
    told = _write_metadata(into, name, metadata)
    return {
        "documents": documents.documents, "sha256": documents.digest.hexdigest(), "file": file, "metadata_sha256": told
    }  # fmt: skip


def write_views(store: Store, into: FolderWriter) -> dict[str, str]:
    """Write how each view and time series was created, as mongodump does: neither keeps documents (X13).

    Return name -> SHA-256 of what says so.
    """
    written = {}
    for one in store.collections():
        if one.kind != COLLECTION:
            metadata = {"indexes": [], "options": one.options, "collectionName": one.name, "type": one.kind}
            written[one.name] = _write_metadata(into, into.name_of(one.name), metadata)
    return written


def _write_metadata(into: FolderWriter, name: str, metadata: Document) -> str:
    # WHY canonical extended JSON: mongorestore reads types from it, and an index key's 1 must stay an int32.
    content = bson.json_util.dumps(metadata, json_options=bson.json_util.CANONICAL_JSON_OPTIONS).encode()
    into.put(f"{name}.metadata.json", [content])
    return hashlib.sha256(content).hexdigest()


def file_name(collection: str, *, spare: int = 0) -> str:
    """Return the base name of a collection's files as mongodump makes it: percent-encoded, and shortened if too long.

    spare: bytes that must be left for what comes behind the names that mongodump gives.

    WHY nothing is left as it is: mongorestore reads "+" as a blank in newer releases, and as itself in older ones; it
    finds the name of a shortened one in the metadata. Source: mongo-tools 100.18, mongodump/prepare.go.
    """
    name = quote(collection, safe="")
    if len(name) <= _LONGEST_NAME - spare:
        return name
    # WHY SHA-1: mongodump's way; it only tells names apart.
    digest = hashlib.sha1(collection.encode(), usedforsecurity=False).digest()
    return f"{name[: _KEPT_OF_NAME - spare]}%24{base64.urlsafe_b64encode(digest).decode().rstrip('=')}"


def read_back(path: Path, on_document: Callable[[bytes], None]) -> DumpedCollection:
    """Call `on_document` with each document of a .bson file, as BSON; return what the file holds, to compare it with.

    Raises OpsError backup.damaged where it ends early or is no BSON. What need not be decoded is not (X11).
    """
    digest, passed = hashlib.sha256(), 0

    def handed_on(document: bytes) -> None:
        nonlocal passed
        passed += 1
        on_document(document)

    pieces = BsonPieces(handed_on, lambda found: _not_read_back(path, found))
    with open_trusted(path, private=True) as raw, failures_of(path, writing=False):
        while piece := raw.read(_PIECE):
            digest.update(piece)
            pieces.add(piece)
    pieces.finish()
    return {"documents": passed, "sha256": digest.hexdigest(), "file": path.name}


def _not_read_back(path: Path, found: str) -> OpsError:
    return OpsError(
        f"{path} cannot be read back: {found}",
        code="backup.damaged",
        hint="is the disk full or failing? take the backup again; nothing else was done",
    )
