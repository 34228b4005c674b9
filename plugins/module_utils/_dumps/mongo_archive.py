# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Archives of mongodump (`--archive`, also with `--gzip`), read in constant memory.

    magic number, header, one document for each collection, terminator
    then segments: header, documents of its collection, terminator; and at a collection's end: header with EOF and CRC

Documents of collections may take turns. Source: mongo-tools, common/archive/spec.md.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

from .._domain.crc64 import Crc64
from .._domain.dumped import COLLECTION, TIME_SERIES, Dumped
from .._domain.file_failures import failures_of
from .._domain.values import Document
from .._store.bson_pieces import LENGTH
from .._store.opener import open_trusted
from .._store.record_bytes import decode
from .form import Contents, OnDocument, chosen, metadata, sorted_out
from .pieces import GZIP, Unpacked, damaged, documents

MAGIC = (0x8199E26D).to_bytes(LENGTH, "little")
_TERMINATOR = b"\xff" * LENGTH
_VERSION = "0.1"
_PRELUDE_AT_MOST = 256 * 1024 * 1024  # bytes
_OPEN_AT_MOST = 256  # collections that take turns; mongodump writes 4 at a time unless told otherwise
_BUCKETS = "system.buckets."  # where a time series keeps its documents


class MongoArchive:
    """The dump of one database in an archive."""

    def __init__(self, path: Path, contents: Contents, named: dict[tuple[str, str], Dumped], uid: int | None) -> None:
        self.contents = contents
        self._path, self._named, self._uid = path, named, uid
        self._wanted = {one.name for one in contents.collections()}

    def read(self, on_document: OnDocument) -> None:
        path = self._path
        with open_trusted(path, private=False, service_uid=self._uid) as raw, failures_of(path, writing=False):
            stream = _Stream(path, raw)
            stream.prelude()
            body = _Body(path, self._named)
            while (header := stream.document()) is not None:
                place = body.begin(decoded(path, header))
                wanted = place is not None and place[0] == self.contents.database and place[1] in self._wanted
                while (document := stream.document(end=False)) is not None:
                    body.add(place, document)
                    if wanted and place is not None:
                        on_document(place[1], document)
            body.finish()


def is_archive(path: Path, *, service_uid: int | None) -> bool:
    """Return whether a file begins as an archive does, packed or not. Raises OpsError file.*, restore.damaged."""
    with open_trusted(path, private=False, service_uid=service_uid) as raw, failures_of(path, writing=False):
        return _Stream(path, raw).exactly(LENGTH, short=True) == MAGIC


def open_archive(path: Path, *, from_database: str | None, service_uid: int | None) -> MongoArchive:
    """Return the dump in an archive. Raises OpsError restore.damaged, .which_database, .of_unfinished, file.*."""
    with open_trusted(path, private=False, service_uid=service_uid) as raw, failures_of(path, writing=False):
        stream = _Stream(path, raw)
        told = stream.prelude()
    named = dict[tuple[str, str], Dumped]()
    for one in told:
        database, name, text = (one.get(key, "") for key in ("db", "collection", "metadata"))
        if not all(isinstance(value, str) for value in (database, name, text)) or (database, name) in named:
            raise damaged(path, "its beginning names a collection twice, or none")
        named[database, name] = metadata(path, text.encode(), name) if text else Dumped(name)
    database = chosen(path, sorted({place[0] for place in named if place[0]}), from_database)
    taken, left = sorted_out(path, [one for place, one in named.items() if place[0] == database])
    others = [f"{place[0]}.{place[1]}".lstrip(".") for place in named if place[0] != database]
    left += [f"{place} (of another database)" for place in sorted(others)]
    contents = Contents("archive", database, taken, tuple(left), packed=stream.packed)
    return MongoArchive(path, contents, named, service_uid)


def decoded(path: Path, raw: bytes) -> Document:
    try:
        return decode(raw)
    except ValueError:
        raise damaged(path, "what should say of which collection the next documents are is no document") from None


class _Stream:
    """An archive, cut into what it is made of."""

    def __init__(self, path: Path, raw: BinaryIO) -> None:
        self._path, self._documents = path, documents(path, lambda _raw: None)
        self.packed = raw.peek(len(GZIP))[: len(GZIP)] == GZIP  # type: ignore[attr-defined]
        self._read: Callable[[int], bytes] = Unpacked(path, raw).read if self.packed else raw.read

    def exactly(self, size: int, *, short: bool = False) -> bytes:
        """Return so many bytes. short: fewer are an answer as well, at the end of the file."""
        held = bytearray()
        while len(held) < size and (piece := self._read(size - len(held))):
            held += piece
        if len(held) < size and not short:
            raise damaged(self._path, "its end is missing")
        return bytes(held)

    def document(self, *, end: bool = True) -> bytes | None:
        """Return the next document. end: None at the end of the file and never else; otherwise at a terminator."""
        head = self.exactly(LENGTH, short=end)
        if not head and end:
            return None
        if head == _TERMINATOR and not end:
            return None
        size = self._documents.size_of(head) if len(head) == LENGTH else 0
        return self._documents.ended(head + self.exactly(max(size - LENGTH, 1)))

    def prelude(self) -> list[Document]:
        """Return what the beginning says of the collections. Raises OpsError restore.damaged."""
        if self.exactly(LENGTH) != MAGIC:
            raise damaged(self._path, "it does not begin as an archive does")
        header = decoded(self._path, self.document(end=False) or b"")
        if header.get("version") != _VERSION:
            raise damaged(self._path, f"it is of no version of archives that is known, expected {_VERSION}")
        told, held = list[Document](), 0
        while (raw := self.document(end=False)) is not None:
            told.append(decoded(self._path, raw))
            held += len(raw)
            if held > _PRELUDE_AT_MOST:
                raise damaged(self._path, "it names collections without end")
        return told


class _Body:
    """What must be true of the segments: each collection was named, and its documents are all there, by their CRC."""

    def __init__(self, path: Path, named: dict[tuple[str, str], Dumped]) -> None:
        self._path = path
        self._named = named
        self._open = dict[tuple[str, str], Crc64]()
        self._closed = set[tuple[str, str]]()

    def begin(self, header: Document) -> tuple[str, str] | None:
        """Return whose documents follow, None where none may. Raises OpsError restore.damaged."""
        place, crc = (header.get("db", ""), header.get("collection", "")), header.get("CRC", 0)
        if not self._is_named(place) or place in self._closed or not isinstance(crc, int):
            raise damaged(self._path, "it holds documents of a collection that it does not name, or that had ended")
        if len(self._open) >= _OPEN_AT_MOST and place not in self._open:
            raise damaged(self._path, f"more than {_OPEN_AT_MOST} collections take turns in it")
        check = self._open.setdefault(place, Crc64())
        if header.get("EOF") is not True:
            return place
        if not check.is_(crc % (1 << 64)):
            raise damaged(self._path, f"by their CRC the documents of {'.'.join(place)} are others")
        del self._open[place]
        self._closed.add(place)
        return None

    def add(self, place: tuple[str, str] | None, document: bytes) -> None:
        if place is None:
            raise damaged(self._path, "it holds documents behind the end of their collection")
        self._open[place].add(document)

    def finish(self) -> None:
        kept = {place for place, one in self._named.items() if one.kind == COLLECTION}
        missing = sorted({*self._open, *(kept - self._closed)})
        if missing:
            raise damaged(self._path, f"the end of {'.'.join(missing[0])} is missing")

    def _is_named(self, place: tuple[str, str]) -> bool:
        if not all(isinstance(part, str) for part in place):
            return False
        series = self._named.get((place[0], place[1].removeprefix(_BUCKETS)))
        return place in self._named or (series is not None and series.kind == TIME_SERIES)
