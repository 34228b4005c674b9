# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A bundle checked whole before anything is done with it, then read record by record.

The first reading checks manifest, seal, order, every record's digest and the end, and writes nothing; so a bundle that
is truncated, altered, duplicated, reordered or meant for somebody else is refused in time.
"""

from __future__ import annotations

import hmac
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeAlias

from .._domain import manifest as manifests
from .._domain.bundle_trust import Trust
from .._domain.catalogue import field_path
from .._domain.collection_metadata import CollectionMetadata, from_documents
from .._domain.errors import FileMissing, OpsError
from .._domain.manifest import Manifest
from .._domain.sender_signature import SIGNATURE_FILE
from .._domain.what_travels import is_of_users
from .._store import age_keys, bundle, collection_metadata
from .._store.age_keys import Identity
from .._store.bundle import RecordsFile
from .._store.driver import Document
from .._store.private_files import read_trusted
from . import opened_records
from .opened_records import BATCH, BATCH_BYTES, OpenedRecord

SIGNATURE_AT_MOST = 1024  # bytes: one has 64
MANIFEST_AT_MOST = 64 * 1024 * 1024  # bytes: what is longer is no manifest, and must not fill the memory
OnRecord: TypeAlias = Callable[[str, OpenedRecord, int], None]


@dataclass(frozen=True, slots=True)
class Bundle:
    """A bundle that was found sound. metadata, digest_key and carried came out of its encrypted part."""

    origin: Path
    records: RecordsFile
    manifest: Manifest
    identity: Identity = field(repr=False)
    digest_key: bytes = field(repr=False)
    carried: dict[str, str] = field(repr=False)
    metadata: tuple[CollectionMetadata, ...]

    @property
    def is_of_changes(self) -> bool:
        """Whether it holds what changed since another bundle, its base, and not everything."""
        return bool(self.manifest["base"])

    @property
    def is_empty(self) -> bool:
        """Whether it is of changes, and there were none."""
        return self.is_of_changes and not self.manifest["records"] and not self.manifest["removed"]

    def each_batch(self, on_batch: Callable[[str, list[OpenedRecord]], None]) -> None:
        """Call `on_batch(collection, opened records)` in order: one collection at a time, BATCH records or BATCH_BYTES.

        INVARIANT: a record is handed on only after it was checked in this very reading. Raises what `checked` raises.
        """
        sink = _Batches(on_batch)
        check = _Check(self.manifest, self.origin, judged=sink, key=self.digest_key)
        _judged(self.records, self.identity, check)
        sink.flush()


@contextmanager
def checked(src: Path, identity_file: Path, trust: Trust, *, service_uid: int | None = None) -> Iterator[Bundle]:
    """Yield the bundle in folder `src`, its file open; write nothing. Raises OpsError manifest.*, bundle.*, file.*."""
    origin = src / manifests.MANIFEST_FILE
    content = _manifest_bytes(origin, service_uid)
    trust.judge(content, _signature(src, service_uid), origin=str(origin))
    try:
        manifest = manifests.parse(content.decode("utf-8"), origin=str(origin))
    except UnicodeDecodeError:
        raise OpsError(f"{origin} is not text", code="manifest.malformed", hint="copy the bundle again") from None
    identity = age_keys.identity_from(identity_file, service_uid=service_uid)
    with closing(RecordsFile(src / manifests.RECORDS_FILE, service_uid=service_uid)) as records:
        check = _Check(manifest, origin)
        _judged(records, identity, check)
        yield Bundle(origin, records, manifest, identity, check.digest_key, check.carried, check.metadata)


def _signature(src: Path, service_uid: int | None) -> bytes:
    """Return the signature beside a manifest, b"" where there is none."""
    try:
        return read_trusted(src / SIGNATURE_FILE, at_most=SIGNATURE_AT_MOST, service_uid=service_uid)
    except FileMissing:
        return b""


def _manifest_bytes(origin: Path, service_uid: int | None) -> bytes:
    try:
        return read_trusted(origin, at_most=MANIFEST_AT_MOST, service_uid=service_uid)
    except FileMissing:
        raise OpsError(
            f"no manifest at {origin}", code="manifest.missing", hint="is `src` the bundle's folder?"
        ) from None


def _judged(records: RecordsFile, identity: Identity, check: _Check) -> None:
    """Read the whole file through a check, and compare its hash with the manifest's.

    WHY read before hashing: "for another recipient" and "truncated" say more than "its hash differs".
    """
    found = records.read(identity, check)
    check.finish(records.path, found)


class _Check:
    """Checks frame after frame: header and seal first, then numbers and digests, then the end.

    judged: gets each record that was found sound, and the size of its frame. key: of an earlier reading, which this one
    must repeat.
    """

    def __init__(
        self, manifest: Manifest, origin: Path, *, judged: OnRecord = lambda _collection, _record, _size: None,
        key: bytes = b"",
    ) -> None:  # fmt: skip
        self._manifest = manifest
        self._origin = origin
        self._judged = judged
        self._key = key
        self._next = 0
        self._ended = False
        self._chain = manifests.Chain(b"")
        self._tally = _Tally()
        self.digest_key = b""
        self.carried: dict[str, str] = {}
        self.metadata: tuple[CollectionMetadata, ...] = ()

    def __call__(self, frame: Document, size: int) -> None:
        if self._ended or frame.get("n") != self._next:
            raise OpsError(
                f"frame {frame.get('n')} is where frame {self._next} must be"
                + (", after the end" if self._ended else ""),
                code="bundle.out_of_order",
                hint="a record was removed, doubled or moved: export again; nothing was written",
            )
        if self._next == 0:
            self._header(frame)
        elif frame.get("end") is True:
            self._end(frame)
        else:
            self._judged(*self._record(frame), size)
        self._next += 1

    def finish(self, path: Path, sha256: str) -> None:
        """Judge the end and the whole. sha256: of the file as it was read."""
        if not self._ended:
            raise bundle.damaged(path, f"it ends after frame {self._next - 1}, its end frame is missing")
        named = self._manifest["records_sha256"]
        if sha256 != named:
            raise manifests.mismatch(str(self._origin), f"it expects SHA-256 {named}, the file has {sha256}")

    def _header(self, frame: Document) -> None:
        key = frame.get("digest_key")
        if frame.get("format") != manifests.FORMAT or not isinstance(key, bytes) or len(key) != 32:
            raise manifests.mismatch(str(self._origin), "the records do not begin with a header of this format")
        if self._key and not hmac.compare_digest(self._key, key):
            raise manifests.mismatch(str(self._origin), "its records were replaced while they were read")
        manifests.check_seal(self._manifest, key, origin=str(self._origin))
        for name in ("bundle_id", "layout", "source", "base"):
            if frame.get(name) != dict(self._manifest)[name]:
                raise manifests.mismatch(str(self._origin), f'"{name}" differs')
        self.digest_key, self.carried = key, self._carried_in(frame)
        self.metadata = self._metadata_in(frame)
        self._chain = manifests.Chain(key)

    def _metadata_in(self, frame: Document) -> tuple[CollectionMetadata, ...]:
        found = from_documents(frame.get("metadata"))
        if found is None:
            raise manifests.mismatch(str(self._origin), "its options and indexes of collections are none of an export")
        for name, says in (
            ("metadata_sha256", collection_metadata.sha256(found)),
            ("metadata", {one.name: one.described() for one in found}),
        ):
            if dict(self._manifest)[name] != says:
                raise manifests.mismatch(str(self._origin), f'"{name}" differs')
        return found

    def _carried_in(self, frame: Document) -> dict[str, str]:
        carried = frame.get("carried")
        if not isinstance(carried, dict) or not all(
            isinstance(one, str) and "\0" not in one for one in carried.values()
        ):
            raise manifests.mismatch(str(self._origin), "what is carried is not names and texts")
        if sorted(carried) != self._manifest["carried"]:
            raise manifests.mismatch(str(self._origin), '"carried" lists other names than are inside')
        return dict(carried)

    def _record(self, frame: Document) -> tuple[str, OpenedRecord]:
        collection, opened = frame.get("c"), opened_records.from_frame(frame, is_known=bool(self._key))
        if not isinstance(collection, str) or opened is None or (opened.is_gone and not self._manifest["base"]):
            raise OpsError(f"frame {self._next} is not a record", code="bundle.record_altered", hint="export again")
        if not is_of_users(collection):
            raise OpsError(
                f"the bundle holds records of {collection}, which is no collection of users' records",
                code="bundle.foreign_collection",
                hint="no export of this collection writes such a bundle: find out who made it; nothing was written",
            )
        digest, told = opened_records.digest(self.digest_key, collection, opened), frame.get("m")
        if not isinstance(told, bytes) or not hmac.compare_digest(digest, told):
            raise OpsError(
                f"record {collection}/{opened.record_id} does not have the digest it was exported with",
                code="bundle.record_altered",
                hint="export again; nothing was written",
            )
        if not self._tally.add(collection, opened):
            raise OpsError(
                f"frame {self._next} brings {collection} or one of its records a second time",
                code="bundle.out_of_order",
                hint="export again; nothing was written",
            )
        self._chain.add(digest)
        return collection, opened

    def _end(self, frame: Document) -> None:
        self._ended = True
        counted = self._tally.collections.total()
        for name, found in (
            ("records", counted), ("records_digest", self._chain.hex()),
            ("collections", dict(self._tally.collections)), ("sealed", dict(self._tally.sealed)),
            ("removed", dict(self._tally.removed)), ("by_project", dict(self._tally.by_project)),
        ):  # fmt: skip
            named = dict(self._manifest)[name]
            if named != found:
                raise manifests.mismatch(str(self._origin), f'"{name}" is {named}, the records say {found}')
        if frame.get("records") != counted or frame.get("chain") != self._chain.hex():
            raise manifests.mismatch(str(self._origin), "the end frame does not match the records before it")


class _Tally:
    """What came, by collection and by sealed field: the wrap budget and every report believe the manifest's counts."""

    def __init__(self) -> None:
        self.collections: Counter[str] = Counter()
        self.removed: Counter[str] = Counter()
        self.sealed: Counter[str] = Counter()
        self.by_project: Counter[str] = Counter()
        self._last = ("", b"")

    def add(self, collection: str, opened: OpenedRecord) -> bool:
        """Count a record; False where its collection had ended, or the record before it is the same one."""
        here = (collection, opened.key)
        has_begun = collection in self.collections or collection in self.removed
        if here == self._last or (collection != self._last[0] and has_begun):
            return False
        self._last = here
        (self.removed if opened.is_gone else self.collections)[collection] += 1
        if not opened.is_gone:
            self.by_project[opened_records.project_of(collection, opened.raw)] += 1
        self.sealed.update(f"{collection}.{field_path(one.steps)}" for one in opened.fields)
        return True


class _Batches:
    """Collects records into batches of one collection."""

    def __init__(self, on_batch: Callable[[str, list[OpenedRecord]], None]) -> None:
        self._on_batch = on_batch
        self._collection = ""
        self._batch: list[OpenedRecord] = []
        self._bytes = 0

    def __call__(self, collection: str, opened: OpenedRecord, size: int) -> None:
        if collection != self._collection or len(self._batch) >= BATCH or self._bytes >= BATCH_BYTES:
            self.flush()
            self._collection = collection
        self._batch.append(opened)
        self._bytes += size

    def flush(self) -> None:
        batch, self._batch, self._bytes = self._batch, [], 0
        if batch:
            self._on_batch(self._collection, batch)
