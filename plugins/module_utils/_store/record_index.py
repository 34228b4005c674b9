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

from .._domain.aead import keyed_digest, mac
from .._domain.errors import OpsError
from .._domain.multiset_digest import MultisetDigest
from . import private_files
from .changes import Since
from .opener import open_trusted
from .record_bytes import decode, encode, id_key_of

SOURCE, PROVEN = "source.index", "proven.index"
FORMAT = "certautopilot.ops/index/1"
KEY_LENGTH = DIGEST_LENGTH = 32  # bytes
_HEAD = struct.Struct("<BI")  # kind of an entry, bytes that follow
_ABOUT, _COLLECTION, _RECORD, _END, _STATE = range(5)
_PIECE = 256 * 1024  # bytes read at one time
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
        self._path, self._raw = path, raw
        self._buffer, self._at = b"", 0  # of the file; what comes before `_at` was given out
        kind, content = self._entry()
        found = self._document(kind, content)
        key, since = found.get("key"), found.get("since")
        if found.get("format") != FORMAT or not isinstance(key, bytes) or len(key) != KEY_LENGTH:
            raise self._damaged("it does not begin as an index does")
        if since is not None and (not isinstance(since, list) or len(since) != len(Since._fields)):
            raise self._damaged("it does not begin as an index does")
        self.about = About(str(found.get("bundle_id")), None if since is None else Since(*since))
        self._digests = _Digests(key)

    def digest(self, collection: str, raw: bytes) -> bytes:
        """Return the digest that the index would hold of a record."""
        return self._digests.of(collection, raw)

    def entries(self) -> Iterator[tuple[str, bytes, bytes]]:
        """Yield (collection, `id_key`, digest) in the order in which they were read.

        Raises OpsError index.damaged, before anything is yielded: the sum at the end is looked at first.
        """
        self._require_sound()
        collection = ""
        while True:
            kind, content = self._entry()
            if kind == _RECORD:
                yield collection, content[DIGEST_LENGTH:], content[:DIGEST_LENGTH]
            elif kind == _COLLECTION:
                collection = content.decode("utf-8", "replace")
            else:
                return

    def key(self) -> bytes:
        """Return the key of its digests, for an index of the same records later."""
        return self._digests.key

    def state(self) -> bytes | None:
        """Return what stands for all records that were read, in whatever order; None where not all were."""
        here = self._raw.tell()
        self._raw.seek(0, os.SEEK_END)
        begin = self._raw.tell() - 2 * (_HEAD.size + DIGEST_LENGTH)
        self._raw.seek(max(begin, 0))
        entry = self._raw.read(_HEAD.size + DIGEST_LENGTH)
        self._raw.seek(here)
        return entry[_HEAD.size :] if entry.startswith(_HEAD.pack(_STATE, DIGEST_LENGTH)) else None

    def _require_sound(self) -> None:
        here, found = self._raw.tell(), hashlib.sha256()
        size = self._raw.seek(0, os.SEEK_END) - _HEAD.size - DIGEST_LENGTH
        self._raw.seek(0)
        while size > 0 and (piece := self._raw.read(min(_PIECE, size))):
            found.update(piece)
            size -= len(piece)
        if size or self._raw.read() != _HEAD.pack(_END, DIGEST_LENGTH) + found.digest():
            raise self._damaged("its sum is not the one that it was written with")
        self._raw.seek(here)

    def _entry(self) -> tuple[int, bytes]:
        if len(self._buffer) - self._at < _HEAD.size:
            self._fill(_HEAD.size)
        kind, size = _HEAD.unpack_from(self._buffer, self._at)
        if size > _ENTRY_AT_MOST:
            raise self._damaged("an entry has an impossible size")
        if len(self._buffer) - self._at < _HEAD.size + size:
            self._fill(_HEAD.size + size)
        begin = self._at + _HEAD.size
        self._at = begin + size
        return kind, self._buffer[begin : self._at]

    def _fill(self, size: int) -> None:
        """Read on until so many bytes are there; what was given out is forgotten."""
        pieces, held = [self._buffer[self._at :]], len(self._buffer) - self._at
        while held < size:
            piece = self._raw.read(_PIECE)
            if not piece:
                raise self._damaged("its end is missing")
            pieces.append(piece)
            held += len(piece)
        self._buffer, self._at = b"".join(pieces), 0

    def _document(self, kind: int, content: bytes) -> dict[str, object]:
        with suppress(ValueError):
            if kind == _ABOUT:
                return decode(content)
        raise self._damaged("it does not begin as an index does")

    def _damaged(self, why: str) -> OpsError:
        return OpsError(
            f"index {self._path} is damaged: {why}",
            code="index.damaged",
            hint="remove it, then export or import the whole bundle again, which writes it anew",
        )


class _Digests:
    """Keyed digests of records. WHY a key for each collection: the same bytes in another one are another record."""

    def __init__(self, key: bytes) -> None:
        self.key = key
        self._of: dict[str, bytes] = {}

    def of(self, collection: str, raw: bytes) -> bytes:
        key = self._of.get(collection)
        if key is None:
            key = self._of[collection] = keyed_digest(self.key, collection.encode())
        return mac(key, raw)


class Writer:
    """Writes an index, record by record. state: of all records of the database, None where they are not all read."""

    def __init__(self, raw: BinaryIO, about: About, *, key: bytes = b"") -> None:
        """key: of an earlier index of the same records, else a new one is drawn."""
        self._raw, self._sum, self._collection = raw, hashlib.sha256(), ""
        self._digests = _Digests(key or os.urandom(KEY_LENGTH))
        self.state: MultisetDigest | None = None
        since = None if about.since is None else list(about.since)
        head = {"format": FORMAT, "bundle_id": about.bundle_id, "since": since, "key": self._digests.key}
        self._write(_ABOUT, encode(head))

    def add(self, collection: str, raw: bytes) -> None:
        """Add a record, as the server holds it. Raises OSError."""
        if collection != self._collection:
            self._collection = collection
            self._write(_COLLECTION, collection.encode())
        digest = self._digests.of(collection, raw)
        if self.state is not None:
            self.state.add(digest)
        self._write(_RECORD, digest + id_key_of(raw))

    def finish(self) -> None:
        if self.state is not None:
            self._write(_STATE, self.state.value())
        self._write(_END, self._sum.digest())
        self._raw.flush()
        os.fsync(self._raw.fileno())

    def _write(self, kind: int, content: bytes) -> None:
        entry = _HEAD.pack(kind, len(content)) + content
        self._sum.update(entry)
        self._raw.write(entry)


@contextmanager
def written(path: Path, about: About, *, key: bytes = b"") -> Iterator[Writer]:
    """Yield a writer of a new file, which is whole when the block ends without a failure. Raises OSError."""
    with private_files.new_file(path) as raw:
        writer = Writer(raw, about, key=key)
        yield writer
        writer.finish()


@contextmanager
def opened(path: Path, *, service_uid: int | None = None) -> Iterator[Index]:
    """Yield the index in a private file. Raises FileMissing, OpsError file.*, index.damaged."""
    with open_trusted(path, private=True, service_uid=service_uid) as raw:
        yield Index(path, raw)
