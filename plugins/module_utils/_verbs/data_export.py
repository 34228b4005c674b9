# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Verb data_export: everything that must survive, as an encrypted bundle with a manifest. The source is only read.

Records are read once: the bytes that make the source's digest are the bytes that are opened, digested with a fresh key,
and encrypted to the destination's recipients in one stream; no plaintext reaches a disk. What must be refused is
refused before the finished folder takes the old one's place. Where a bundle is there already, one read without opening
says first whether it still is of this very state.
"""

from __future__ import annotations

import os
import uuid
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path

from .._domain import manifest as manifests
from .._domain.bundle_trust import manifest_sha256
from .._domain.catalogue import Catalogue
from .._domain.collection_metadata import CollectionMetadata
from .._domain.envelope_layout import Layout
from .._domain.errors import OpsError
from .._domain.expiring import Expiring
from .._domain.file_failures import failures_of
from .._domain.instants import rfc3339
from .._domain.listing import listed
from .._domain.manifest import Manifest
from .._domain.result import Result
from .._domain.sender_signature import SIGNATURE_FILE
from .._domain.settings import Settings
from .._domain.values import JsonObject
from .._installation import bundle_frames
from .._installation import survey as surveys
from .._installation.bundle_frames import Counts
from .._installation.bundle_of_now import is_of_now, seems_of_now
from .._installation.carried import Carried, carried_from
from .._installation.export_base import Base, base_of, forecast, what_to_write
from .._installation.export_place import Place, place_of
from .._installation.installation import Installation, open_installation
from .._installation.layout_detection import remembered_layout
from .._installation.moved_records import FoundBy
from .._installation.sealing import Sealing
from .._store import age_keys, bundle, changes, collection_metadata, private_files, record_index, unfinished
from .._store.age_keys import Recipient
from .._store.connection import Store
from .._store.driver import Document
from .._store.every_record import DatabaseDigest

DIGEST_KEY_LENGTH = 32  # bytes


@dataclass(frozen=True, slots=True)
class Options:
    """dest: folder of the bundle. recipients: age public keys. carry: secrets.env names that travel inside.

    base: folder of a whole bundle, on top of which only what changed since is exported. signing_key_file: private key
    of the sender, 0600.
    """

    dest: str
    recipients: tuple[str, ...]
    carry: tuple[str, ...] = ()
    base: str | None = None
    signing_key_file: str | None = None


@dataclass(frozen=True, slots=True)
class _Working:
    """What one export works with."""

    installation: Installation
    sealing: Sealing
    recipients: list[Recipient]
    carried: Carried
    metadata: tuple[CollectionMetadata, ...]
    base: Base | None

    @property
    def index_key(self) -> bytes:
        """Of the base's index, so that one state tells of both; b"" for a new one."""
        return self.base.index.key() if self.base is not None else b""


def run(settings: Settings, options: Options, *, check: bool, warn: Callable[[str], None]) -> Result:
    """Export. Raises OpsError export.*, bundle.*, and what opening an installation raises.

    `secrets_left` of the result: names of variables of secrets.env that do not travel.
    """
    result = _exported(settings, options, check=check, warn=warn)
    return replace(result, values={**result.values, "secrets_left": sorted({*settings.secrets} - {*options.carry})})


def _exported(settings: Settings, options: Options, *, check: bool, warn: Callable[[str], None]) -> Result:
    if not options.recipients:
        raise OpsError(
            "no recipients", code="bundle.recipient_invalid", hint="give what bundle_identity returned as `recipients`"
        )
    recipients = age_keys.recipients_from(options.recipients)
    dest = Path(options.dest)
    if options.base is not None and dest.resolve() == Path(options.base).resolve():
        raise OpsError(
            f"`dest` and `base` are both {dest}: the changes would take the place of the bundle that they belong to",
            code="export.base_is_dest",
            hint="give the changes a folder of their own; nothing was written",
        )
    if private_files.require_fit(dest, service_uid=settings.service_uid) and not check:
        unfinished.remove_dead(dest)
    with open_installation(settings) as installation, ExitStack() as stack:
        carried = carried_from(settings, options.carry, warn)
        metadata = collection_metadata.read_all(installation.store)
        there = place_of(dest, options.signing_key_file, settings.service_uid)
        base = base_of(stack, options.base, installation, settings.service_uid, warn) if options.base else None
        existing = _existing(there, options, installation.catalogue, carried, metadata, base)
        if check:
            if existing is not None and seems_of_now(installation.store, there, existing):
                return _unchanged(existing)
            return _predicted(installation, there, base, warn)
        if existing is not None and is_of_now(installation.store, there, existing):
            return _unchanged(existing)
        layout = base.layout if base is not None else _shown_layout(installation, warn)
        _say_what_stays(installation.store, metadata, warn)
        sealing = Sealing(installation.provider, layout)
        written = _write(_Working(installation, sealing, recipients, carried, metadata, base), there, options)
        return Result(changed=True, values=_told(written), before={}, after=_facts(written))


def _existing(
    there: Place, options: Options, catalogue: Catalogue, carried: Carried, metadata: tuple[CollectionMetadata, ...],
    base: Base | None,
) -> Manifest | None:  # fmt: skip
    """Return the manifest of a complete bundle for these very options, None where there is none."""
    try:
        found = manifests.parse(there.manifest().decode("utf-8"), origin=str(there.dest / manifests.MANIFEST_FILE))
    except (UnicodeDecodeError, OpsError):
        return None
    same = (
        found["recipients"] == sorted(options.recipients)
        and found["catalogue"] == catalogue.as_listed()
        and found["carried"] == sorted(carried.values)
        and found["base"] == ("" if base is None else base.bundle_id)
        and found["carried_digest"] == carried.digest
        and found["metadata_sha256"] == collection_metadata.sha256(metadata)
    )
    if not same or not there.is_signed() or not there.has_records():
        return None
    return found if there.records_sha256() == found["records_sha256"] else None


def _unchanged(existing: Manifest) -> Result:
    facts = _facts(existing)
    return Result(changed=False, values=_told(existing), before=facts, after=facts)


def _facts(manifest: Manifest) -> JsonObject:
    envelopes = sum(manifest["sealed"].values())
    return {"records": manifest["records"], "envelopes": envelopes, "source_digest": manifest["source_digest"]}


def _shown_layout(installation: Installation, warn: Callable[[str], None]) -> Layout:
    sample = surveys.sample_of(installation.store, installation.catalogue)
    return remembered_layout(installation.store, installation.provider, sample, warn=warn, note=False)


def _predicted(installation: Installation, there: Place, base: Base | None, warn: Callable[[str], None]) -> Result:
    """Return what an export would write, from one read that opens a sample only."""
    digest, found, removed = DatabaseDigest(), surveys.Survey(), 0
    for collection, _key, raw in forecast(installation.store, base, digest):
        if raw is None:
            removed += 1
        else:
            found.note_raw(installation.catalogue, collection, raw)
    found.require_catalogued()
    layout = remembered_layout(installation.store, installation.provider, found.sample, warn=warn, note=False)
    after: JsonObject = {"records": found.documents, "envelopes": found.total, "source_digest": digest.hex()}
    predicted: JsonObject = {
        "records": found.documents,
        "collections": dict(sorted(found.by_collection.items())),
        "base": base.bundle_id if base is not None else "",
        "gone": removed,
        "layout": layout.name,
        "source_digest": digest.hex(),
    }
    content = there.manifest()  # in check mode an importer still has the one that is there
    values: JsonObject = {"manifest": predicted, "manifest_sha256": manifest_sha256(content) if content else ""}
    return Result(changed=True, values=values, before={}, after=after)


def _say_what_stays(store: Store, metadata: tuple[CollectionMetadata, ...], warn: Callable[[str], None]) -> None:
    views = store.view_names()
    if views:
        warn(f"views and time series are not exported, make them again at the destination: {listed(list(views))}")
    left = [f"{one.name}: {what}" for one in metadata for what in one.left]
    if left:
        warn(f"options and indexes that are not exported, decide whether the destination needs them: {listed(left)}")


def _write_records(working: _Working, folder: Path, header: Document, counts: Counts) -> tuple[FoundBy, str]:
    """Write records and index; return (how it was found out what to write, SHA-256 of the records file in hex)."""
    store = working.installation.store
    about = record_index.About(header["bundle_id"], changes.begin(store))
    path, key = folder / record_index.SOURCE, working.index_key
    with failures_of(folder), record_index.written(path, about, key=key) as index:
        found_by, items = what_to_write(store, working.base, counts, index)
        frames = bundle_frames.frames(working.sealing, working.installation.catalogue, header, items, counts)
        return found_by, bundle.write(folder / manifests.RECORDS_FILE, frames, working.recipients)


def _write(working: _Working, there: Place, options: Options) -> Manifest:
    header = _header(working)
    counts = Counts(Expiring(header["created_at"]))
    with private_files.working_folder(there.dest, service_uid=there.service_uid) as folder:
        found_by, sha256 = _write_records(working, folder, header, counts)
        body: Manifest = {
            "format": manifests.FORMAT,
            "bundle_id": header["bundle_id"],
            "created_at": rfc3339(header["created_at"]),
            "base": header["base"],
            "found_by": found_by.value,
            "source": header["source"],
            "layout": working.sealing.layout.name,
            "catalogue": working.installation.catalogue.as_listed(),
            "collections": dict(counts.collections),
            "removed": dict(counts.removed),
            "sealed": dict(counts.sealed),
            "by_project": dict(counts.by_project),
            "expiring": counts.expiring.as_listed(),
            "records": counts.records,
            "projects": counts.projects,
            "records_sha256": sha256,
            "source_digest": "" if found_by is FoundBy.OPLOG else counts.digest.hex(),
            "records_digest": counts.records_digest,
            "metadata": {one.name: one.described() for one in working.metadata},
            "metadata_sha256": collection_metadata.sha256(working.metadata),
            "recipients": sorted(options.recipients),
            "carried": sorted(working.carried.values),
            "carried_digest": working.carried.digest,
            "seal": "",
        }
        sealed = manifests.sealed_manifest(body, header["digest_key"])
        content = manifests.text(sealed).encode()
        private_files.write_private(folder / manifests.MANIFEST_FILE, content)
        if there.key is not None:
            private_files.write_private(folder / SIGNATURE_FILE, there.key.sign(content))
        _swap(folder, there.dest)
        return sealed


def _swap(working: Path, dest: Path) -> None:
    """Put the finished folder in place, each file replaced whole.

    A crash between the two leaves records and an older manifest that does not fit them: import refuses, the next export
    repairs it.
    """
    private_files.put_in_place(working, dest, last=manifests.MANIFEST_FILE)


def _header(working: _Working) -> Document:
    store, lock = working.installation.store, working.installation.lock
    return {
        "format": manifests.FORMAT,
        "bundle_id": uuid.uuid4().hex,
        "created_at": store.server_time(),
        "base": "" if working.base is None else working.base.bundle_id,
        "source": {
            "install_id": lock.known_as,
            "provider": lock.provider,
            "installed_at": rfc3339(lock.installed_at),
            "database": store.name,
        },
        "layout": working.sealing.layout.name,
        "digest_key": os.urandom(DIGEST_KEY_LENGTH),
        "metadata": [one.as_document() for one in working.metadata],
        "carried": working.carried.values,
    }


def _told(manifest: Manifest) -> JsonObject:
    """Return what a module shows of a bundle, and the digest by which the importer knows it again."""
    return {"manifest": _public(manifest), "manifest_sha256": manifest_sha256(manifests.text(manifest).encode())}


def _public(manifest: Manifest) -> JsonObject:
    return {name: value for name, value in manifest.items() if name != "catalogue"}
