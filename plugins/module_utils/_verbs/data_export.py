# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Verb data_export: everything that must survive, as an encrypted bundle with a manifest. The source is only read.

Records are opened with the source's KEK, digested with a fresh key, and encrypted to the destination's recipients in
one stream; no plaintext reaches a disk. A second export of an unchanged source to the same folder changes nothing.
"""

from __future__ import annotations

import os
import shutil
import uuid
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from .._domain import manifest as manifests
from .._domain.envelope_layout import Layout
from .._domain.errors import OpsError
from .._domain.instants import rfc3339
from .._domain.result import Result
from .._domain.settings import Settings
from .._installation import opened_records
from .._installation import survey as surveys
from .._installation.installation import Installation, open_installation
from .._installation.layout_detection import detect_layout
from .._installation.sealing import Sealing
from .._store import bundle, private_files, records
from .._store.driver import Document

DIGEST_KEY_LENGTH = 32  # bytes


@dataclass(frozen=True, slots=True)
class Options:
    """dest: folder of the bundle. recipients: age public keys. carry: secrets.env names that travel inside."""

    dest: str
    recipients: tuple[str, ...]
    carry: tuple[str, ...] = ()


@dataclass(slots=True)
class _Counts:
    records: int = 0
    collections: Counter[str] = field(default_factory=Counter)
    sealed: Counter[str] = field(default_factory=Counter)
    records_digest: str = ""


@dataclass(frozen=True, slots=True)
class _Working:
    """What one export works with. carried: names and values that travel inside the encrypted part."""

    installation: Installation
    sealing: Sealing
    recipients: list[Any]
    carried: dict[str, str] = field(repr=False)
    source_digest: str


def run(settings: Settings, options: Options, *, check: bool, warn: Callable[[str], None]) -> Result:
    """Export. Raises OpsError export.*, bundle.*, and what opening an installation raises."""
    if not options.recipients:
        raise OpsError(
            "no recipients", code="bundle.recipient_invalid", hint="give what bundle_identity returned as `recipients`"
        )
    recipients = bundle.recipients_from(options.recipients)
    dest = Path(options.dest)
    with open_installation(settings) as installation:
        found = surveys.take(installation.store, installation.catalogue)
        found.require_catalogued()
        layout = detect_layout(installation.provider, found.sample)
        source_digest, documents = records.database_digest(installation.store)
        standing = _standing(dest, source_digest, options, layout)
        after = {"records": documents, "envelopes": found.total, "source_digest": source_digest}
        if standing is not None:
            return Result(changed=False, values={"manifest": _public(standing)}, before=after, after=after)
        if check:
            predicted = {
                "records": documents,
                "collections": dict(sorted(found.by_collection.items())),
                "layout": layout.name,
                "source_digest": source_digest,
            }
            return Result(changed=True, values={"manifest": predicted}, before={}, after=after)
        carried = _carried(settings, options.carry, warn)
        working = _Working(installation, Sealing(installation.provider, layout), recipients, carried, source_digest)
        written = _write(working, dest, options)
        return Result(changed=True, values={"manifest": _public(written)}, before={}, after=after)


def _standing(dest: Path, source_digest: str, options: Options, layout: Layout) -> dict[str, Any] | None:
    """Return the manifest of a complete bundle of this very state for these recipients, None where there is none."""
    try:
        text = (dest / manifests.MANIFEST_FILE).read_text("utf-8")
        found = manifests.parse(text, origin=str(dest / manifests.MANIFEST_FILE))
    except (FileNotFoundError, UnicodeDecodeError, OpsError):
        return None
    same = (
        found["source_digest"] == source_digest
        and found["recipients"] == sorted(options.recipients)
        and found["layout"] == layout.name
        and found["carried"] == sorted(options.carry)
    )
    if not same or not (dest / manifests.RECORDS_FILE).exists():
        return None
    return found if bundle.file_sha256(dest / manifests.RECORDS_FILE) == found["records_sha256"] else None


def _carried(settings: Settings, names: tuple[str, ...], warn: Callable[[str], None]) -> dict[str, str]:
    values = {name: settings.secrets[name].reveal() for name in names if name in settings.secrets}
    for name in names:
        if name not in values:
            warn(f"{name} is not in the secrets file and is not carried to the destination")
    return values


def _write(working: _Working, dest: Path, options: Options) -> dict[str, Any]:
    folder = dest.parent / f".{dest.name}.{uuid.uuid4().hex}"
    private_files.private_folder(folder)
    try:
        digest_key, counts = os.urandom(DIGEST_KEY_LENGTH), _Counts()
        header = _header(working, digest_key)
        frames = _frames(working, header, digest_key, counts)
        sha256 = bundle.write(folder / manifests.RECORDS_FILE, frames, working.recipients)
        catalogue = working.installation.catalogue
        body = {
            "format": manifests.FORMAT,
            "bundle_id": header["bundle_id"],
            "created_at": rfc3339(header["created_at"]),
            "source": header["source"],
            "layout": working.sealing.layout.name,
            "catalogue": {name: list(catalogue.fields(name)) for name in catalogue.collections()},
            "collections": dict(counts.collections),
            "sealed": dict(counts.sealed),
            "records": counts.records,
            "projects": _projects(working.installation),
            "records_sha256": sha256,
            "source_digest": working.source_digest,
            "records_digest": counts.records_digest,
            "recipients": sorted(options.recipients),
            "carried": sorted(options.carry),
        }
        sealed = manifests.sealed_manifest(body, digest_key)
        private_files.write_private(folder / manifests.MANIFEST_FILE, manifests.text(sealed).encode())
        _swap(folder, dest)
        return sealed
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _swap(working: Path, dest: Path) -> None:
    """Put the finished folder in place, each file replaced whole.

    A crash between the two leaves records and an older manifest that does not fit them: import refuses, the next export
    mends it.
    """
    if dest.exists():
        for name in (manifests.RECORDS_FILE, manifests.MANIFEST_FILE):
            (working / name).replace(dest / name)
        private_files.sync_folder(dest)
    else:
        working.replace(dest)
    private_files.sync_folder(dest.parent)


def _header(working: _Working, digest_key: bytes) -> Document:
    store, lock = working.installation.store, working.installation.lock
    return {
        "format": manifests.FORMAT,
        "bundle_id": uuid.uuid4().hex,
        "created_at": store.server_time(),
        "source": {
            "install_id": lock.install_id or f"foreign-{rfc3339(lock.installed_at)}",
            "provider": lock.provider,
            "installed_at": rfc3339(lock.installed_at),
            "database": store.name,
        },
        "layout": working.sealing.layout.name,
        "digest_key": digest_key,
        "carried": working.carried,
    }


def _frames(working: _Working, header: Document, digest_key: bytes, counts: _Counts) -> Iterator[Document]:
    yield {**header, "n": 0}
    store, catalogue, chain = working.installation.store, working.installation.catalogue, manifests.Chain(digest_key)
    for collection in records.data_collections(store):
        for batch in records.batches(records.stream(store, collection), records.READ_BATCH):
            for opened in opened_records.open_documents(working.sealing, catalogue, collection, batch):
                mac = opened_records.digest(digest_key, collection, opened)
                chain.add(mac)
                counts.records += 1
                counts.collections[collection] += 1
                for path in opened_records.plain_fields(opened):
                    counts.sealed[f"{collection}.{path}"] += 1
                yield {"n": counts.records, "c": collection, "d": opened, "m": mac}
    counts.records_digest = chain.hex()
    yield {"n": counts.records + 1, "end": True, "records": counts.records, "chain": counts.records_digest}


def _projects(installation: Installation) -> list[dict[str, str]]:
    if "projects" not in installation.store.collection_names():
        return []
    return [
        {"id": str(document["_id"]), "name": str(document.get("name", ""))}
        for document in records.stream(installation.store, "projects")
    ]


def _public(manifest: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in manifest.items() if name != "catalogue"}
