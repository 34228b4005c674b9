# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A bundle checked whole before anything is done with it, then read record by record.

The first reading checks manifest, seal, order, every record's digest and the end, and writes nothing; so a bundle that
is truncated, altered, duplicated, reordered or meant for somebody else is refused in time.
"""

from __future__ import annotations

import hmac
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from .._domain import manifest as manifests
from .._domain.errors import OpsError
from .._domain.manifest import Manifest
from .._store import bundle
from .._store.bundle import Identity
from .._store.driver import Document
from .._store.records import BATCH_BYTES
from . import opened_records

BATCH = 500  # records handed on at a time


@dataclass(frozen=True, slots=True)
class Bundle:
    """A bundle that was found sound. digest_key and carried came out of its encrypted part."""

    path: Path
    manifest: Manifest
    identity: Identity = field(repr=False)
    digest_key: bytes = field(repr=False)
    carried: dict[str, str] = field(repr=False)

    def each_batch(self, on_batch: Callable[[str, list[Document]], None]) -> None:
        """Call `on_batch(collection, opened records)` in order: one collection at a time, BATCH records or 16 MiB."""
        sink = _Batches(on_batch)
        bundle.read(self.path / manifests.RECORDS_FILE, self.identity, sink)
        sink.flush()


def checked(src: Path, identity_file: Path) -> Bundle:
    """Return the bundle in folder `src`. Raises OpsError manifest.*, bundle.*; nothing is written anywhere."""
    origin = src / manifests.MANIFEST_FILE
    try:
        manifest = manifests.parse(origin.read_text("utf-8"), origin=str(origin))
    except (FileNotFoundError, NotADirectoryError):
        raise OpsError(
            f"no manifest at {origin}", code="manifest.missing", hint="is `src` the bundle's folder?"
        ) from None
    except UnicodeDecodeError:
        raise OpsError(f"{origin} is not text", code="manifest.malformed", hint="copy the bundle again") from None
    identity = bundle.identity_from(identity_file)
    records_path = src / manifests.RECORDS_FILE
    check = _Check(manifest, origin)
    # WHY read before hashing: "for another recipient" and "truncated" say more than "its hash differs".
    bundle.read(records_path, identity, check)
    check.finish(records_path)
    found = bundle.file_sha256(records_path)
    if found != manifest["records_sha256"]:
        raise manifests.mismatch(str(origin), f"it expects SHA-256 {manifest['records_sha256']}, the file has {found}")
    return Bundle(src, manifest, identity, check.digest_key, check.carried)


class _Check:
    """Checks frame after frame: header and seal first, then numbers and digests, then the end."""

    def __init__(self, manifest: Manifest, origin: Path) -> None:
        self._manifest = manifest
        self._origin = origin
        self._next = 0
        self._ended = False
        self._chain = manifests.Chain(b"")
        self.digest_key = b""
        self.carried: dict[str, str] = {}

    def __call__(self, frame: Document, _size: int) -> None:
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
            self._record(frame)
        self._next += 1

    def finish(self, path: Path) -> None:
        if not self._ended:
            raise bundle.damaged(path, f"it ends after frame {self._next - 1}, its end frame is missing")

    def _header(self, frame: Document) -> None:
        key = frame.get("digest_key")
        if frame.get("format") != manifests.FORMAT or not isinstance(key, bytes) or len(key) != 32:
            raise manifests.mismatch(str(self._origin), "the records do not begin with a header of this format")
        manifests.check_seal(self._manifest, key, origin=str(self._origin))
        for name in ("bundle_id", "layout", "source"):
            if frame.get(name) != dict(self._manifest)[name]:
                raise manifests.mismatch(str(self._origin), f'"{name}" differs')
        self.digest_key, self.carried = key, dict(frame.get("carried") or {})
        self._chain = manifests.Chain(key)

    def _record(self, frame: Document) -> None:
        collection, opened = frame.get("c"), frame.get("d")
        if not isinstance(collection, str) or not isinstance(opened, dict) or "_id" not in opened:
            raise OpsError(f"frame {self._next} is not a record", code="bundle.record_altered", hint="export again")
        digest = opened_records.digest(self.digest_key, collection, opened)
        if not hmac.compare_digest(digest, bytes(frame.get("m") or b"")):
            raise OpsError(
                f"record {collection}/{opened['_id']} does not have the digest it was exported with",
                code="bundle.record_altered",
                hint="export again; nothing was written",
            )
        self._chain.add(digest)

    def _end(self, frame: Document) -> None:
        self._ended = True
        counted = self._next - 1
        for name, found in (("records", counted), ("records_digest", self._chain.hex())):
            named = dict(self._manifest)[name]
            if named != found:
                raise manifests.mismatch(str(self._origin), f'"{name}" is {named}, the records say {found}')
        if frame.get("records") != counted or frame.get("chain") != self._chain.hex():
            raise manifests.mismatch(str(self._origin), "the end frame does not match the records before it")


class _Batches:
    """Collects records into batches of one collection; checked before, so frames are only told apart here."""

    def __init__(self, on_batch: Callable[[str, list[Document]], None]) -> None:
        self._on_batch = on_batch
        self._collection = ""
        self._batch: list[Document] = []
        self._bytes = 0

    def __call__(self, frame: Document, size: int) -> None:
        if "c" not in frame:
            return
        if frame["c"] != self._collection or len(self._batch) >= BATCH or self._bytes >= BATCH_BYTES:
            self.flush()
            self._collection = frame["c"]
        self._batch.append(frame["d"])
        self._bytes += size

    def flush(self) -> None:
        batch, self._batch, self._bytes = self._batch, [], 0
        if batch:
            self._on_batch(self._collection, batch)
