# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The whole bundle on top of which an export holds only what changed since: its manifest and its index.

Where there is none that fits, everything is exported, and a warning says why: that is never wrong, only dearer.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from .._domain import manifest as manifests
from .._domain.envelope_layout import Layout, by_name
from .._domain.errors import OpsError
from .._domain.manifest import Manifest
from .._domain.multiset_digest import MultisetDigest
from .._store import private_files, record_index
from .._store.connection import Store
from .._store.every_record import DatabaseDigest, each_raw
from .._store.record_index import Index
from .bundle_frames import Counts
from .installation import Installation
from .moved_records import FoundBy, Moved, by_raw_read, looked_up, told_by_oplog


@dataclass(frozen=True, slots=True)
class Base:
    """A whole bundle of this installation. index: of the records that it was made of. layout: that they have."""

    bundle_id: str
    index: Index
    layout: Layout


def base_of(
    stack: ExitStack, folder: str, installation: Installation, service_uid: int | None, warn: Callable[[str], None]
) -> Base | None:
    """Return the base in a folder, its index open until the stack unwinds; None, and a warning, where none fits."""
    path = Path(folder)
    try:
        content = private_files.read_trusted(path / manifests.MANIFEST_FILE, service_uid=service_uid)
        manifest = manifests.parse(content.decode("utf-8", "replace"), origin=str(path / manifests.MANIFEST_FILE))
        index = stack.enter_context(record_index.opened(path / record_index.SOURCE, service_uid=service_uid))
        layout = by_name(manifest["layout"])
        why = _unfit(manifest, index, installation)
    except OpsError as refusal:
        why = refusal.message
    if why:
        warn(f"everything is exported, not only what changed since the bundle in {folder}: {why}")
        return None
    return Base(manifest["bundle_id"], index, layout)


def _unfit(manifest: Manifest, index: Index, installation: Installation) -> str:
    """Return why nothing can be exported on top of this bundle, "" when it can."""
    if manifest["base"]:
        return "it holds only changes itself"
    if index.about.bundle_id != manifest["bundle_id"]:
        return f"its index is of bundle {index.about.bundle_id}"
    if manifest["source"]["install_id"] != installation.lock.known_as:
        return f"it is of installation {manifest['source']['install_id']}"
    if manifest["catalogue"] != installation.catalogue.as_listed():
        return "it was made with another catalogue"
    return ""


def what_to_write(
    store: Store, base: Base | None, counts: Counts, index: record_index.Writer
) -> tuple[FoundBy, Iterator[Moved]]:
    """Return how it was found out what a bundle has to hold, and that. index: gets what a whole bundle is made of."""
    if base is None:
        index.state = MultisetDigest()
        return FoundBy.EVERYTHING, _everything(store, counts.digest, index)
    told = told_by_oplog(store, base.index.about.since)
    if told is not None:
        return FoundBy.OPLOG, looked_up(store, told)
    index.state = MultisetDigest()
    return FoundBy.RAW_READ, by_raw_read(store, base.index, counts.digest, index.state)


def _everything(store: Store, digest: DatabaseDigest, index: record_index.Writer) -> Iterator[Moved]:
    for collection, raw in each_raw(store, digest):
        index.add(collection, raw)
        yield collection, b"", raw


def forecast(store: Store, base: Base | None, digest: DatabaseDigest) -> Iterator[Moved]:
    """Yield what a bundle would hold, for check mode. It asks no oplog: to ask leaves a mark in it."""
    if base is not None:
        yield from by_raw_read(store, base.index, digest)
        return
    for collection, raw in each_raw(store, digest):
        yield collection, b"", raw
