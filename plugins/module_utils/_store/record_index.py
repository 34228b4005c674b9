# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""An index of records that were read: a keyed digest of each one's bytes, in a private file beside a bundle.

    with record_index.written(folder / SOURCE, About(bundle_id, since, records=0)) as index:
        index.add(collection, raw)                      # in the order in which they are read
    with record_index.opened(folder / SOURCE) as index:
        for collection, key, digest in index.entries(): ...

One raw read of the same database later, against the index, tells what was added, changed and removed, and
opens nothing. Where the server keeps an oplog the index is not even read: `about.since` is where it was then. ADR-0030.
"""

from __future__ import annotations

import hashlib
import os
import struct
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from .._domain.aead import keyed_digest
from .._domain.errors import OpsError
from . import private_files
from .changes import Since
from .opener import open_trusted
from .record_bytes import decode, encode, id_key_of

SOURCE, PROVEN = "source.index", "proven.index"
FORMAT = "certautopilot.ops/index/1"
KEY_LENGTH = DIGEST_LENGTH = 32  # bytes
_HEAD = struct.Struct("<BI")  # kind of an entry, bytes that follow
_ABOUT, _COLLECTION, _RECORD, _END = range(4)
_ENTRY_AT_MOST = 17 * 1024 * 1024  # bytes: an `_id` is at most a document


@dataclass(frozen=True, slots=True)
class About:
    """bundle_id: of the bundle beside it. since: of the oplog before the first record was read, None: there is none."""

    bundle_id: str
    since: Since | None


class Index:
    """What was read. about: as it was written."""

    def __init__(self, path: Path, raw: BinaryIO) -> None:
        """Raises OpsError index.damaged."""
        self._path, self._raw, self._sum = path, raw, hashlib.sha256()
        found = self._document(*self._entry())
        key, since = found.get("key"), found.get("since")
        if found.get("format") != FORMAT or not isinstance(key, bytes) or len(key) != KEY_LENGTH:
            raise self._damaged("it does not begin as an index does")
        if since is not None and (not isinstance(since, list) or len(since) != len(Since._fields)):
            raise self._damaged("it does not begin as an index does")
        self._key = key
        self.about = About(str(found.get("bundle_id")), None if since is None else Since(*since))

    def digest(self, collection: str, raw: bytes) -> bytes:
        """Return the digest that the index would hold of a record."""
        return keyed_digest(self._key, collection.encode(), raw)

    def entries(self) -> Iterator[tuple[str, bytes, bytes]]:
        """Yield (collection, `id_key`, digest) in the order in which they were read. Raises OpsError index.damaged.

        What was yielded is true only once the end has come: the index's own sum is behind it.
        """
        collection = ""
        while True:
            expected = self._sum.digest()
            kind, content = self._entry()
            if kind == _COLLECTION:
                collection = content.decode("utf-8", "replace")
            elif kind == _RECORD:
                yield collection, content[DIGEST_LENGTH:], content[:DIGEST_LENGTH]
            elif kind == _END and content == expected:
                return
            else:
                raise self._damaged("its sum is not the one that it was written with")

    def _entry(self) -> tuple[int, bytes]:
        head = self._raw.read(_HEAD.size)
        if len(head) < _HEAD.size:
            raise self._damaged("its end is missing")
        kind, size = _HEAD.unpack(head)
        content = self._raw.read(size) if size <= _ENTRY_AT_MOST else b""
        if len(content) < size:
            raise self._damaged("its end is missing")
        self._sum.update(head)
        self._sum.update(content)
        return kind, content

    def _document(self, kind: int, content: bytes) -> dict[str, object]:
        with suppress(ValueError):
            if kind == _ABOUT:
                return decode(content)
        raise self._damaged("it does not begin as an index does")

    def _damaged(self, why: str) -> OpsError:
        return OpsError(
            f"index {self._path} is damaged: {why}",
            code="index.damaged",
            hint="export or import the whole bundle again, which writes it anew",
        )


class Writer:
    """Writes an index, record by record."""

    def __init__(self, raw: BinaryIO, about: About) -> None:
        self._raw, self._sum, self._key, self._collection = raw, hashlib.sha256(), os.urandom(KEY_LENGTH), ""
        since = None if about.since is None else list(about.since)
        self._write(_ABOUT, encode({"format": FORMAT, "bundle_id": about.bundle_id, "since": since, "key": self._key}))

    def add(self, collection: str, raw: bytes) -> None:
        """Add a record, as the server holds it. Raises OSError."""
        if collection != self._collection:
            self._collection = collection
            self._write(_COLLECTION, collection.encode())
        self._write(_RECORD, keyed_digest(self._key, collection.encode(), raw) + id_key_of(raw))

    def finish(self) -> None:
        self._write(_END, self._sum.digest())
        self._raw.flush()
        os.fsync(self._raw.fileno())

    def _write(self, kind: int, content: bytes) -> None:
        entry = _HEAD.pack(kind, len(content)) + content
        self._sum.update(entry)
        self._raw.write(entry)


@contextmanager
def written(path: Path, about: About) -> Iterator[Writer]:
    """Yield a writer of a new file, which is whole when the block ends without a failure. Raises OSError."""
    with private_files.new_file(path) as raw:
        writer = Writer(raw, about)
        yield writer
        writer.finish()


@contextmanager
def opened(path: Path, *, service_uid: int | None = None) -> Iterator[Index]:
    """Yield the index in a private file. Raises FileMissing, OpsError file.*, index.damaged."""
    with open_trusted(path, private=True, service_uid=service_uid) as raw:
        yield Index(path, raw)
