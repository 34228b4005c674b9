# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a bundle of changes is imported on top of: a destination proven for its base, which has not moved since.

The proof of the base was of every record. It still is one if every record that moved since is in the bundle of
changes, because those are opened and compared again.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from .._domain.catalogue import record_id_text
from .._domain.errors import FileMissing, OpsError
from .._domain.listing import LISTED_AT_MOST, listed
from .._store import record_bytes, record_index
from .._store.connection import Store
from .._store.every_record import DatabaseDigest
from .._store.imports import ImportRecord, ImportState
from .._store.record_index import Index
from .checked_bundle import Bundle
from .moved_records import FoundBy, by_raw_read, told_by_oplog
from .opened_records import OpenedRecord

_WHOLE = "export without `base` and import that; nothing was written"


def require_proven(mine: ImportRecord | None, bundle: Bundle) -> None:
    """Raises OpsError import.base_differs unless the destination holds this bundle's base, or a part of the bundle."""
    base, found = bundle.manifest["base"], None if mine is None else mine.bundle
    is_base = mine is not None and found == base and mine.state in (ImportState.PROVEN, ImportState.ACCEPTED)
    if not base or is_base or found == bundle.manifest["bundle_id"]:
        return
    state = "nothing was imported" if mine is None else f"bundle {found} is {mine.state}"
    raise OpsError(
        f"the bundle holds what changed since bundle {base}, expected that to be proven here; {state}",
        code="import.base_differs",
        hint=_WHOLE,
    )


@contextmanager
def opened(folder: str | None, bundle: Bundle, *, service_uid: int | None) -> Iterator[Index | None]:
    """Yield the index of what was proven for the bundle's base; None for a bundle that holds everything.

    Raises OpsError import.base_missing, import.base_differs, index.damaged, file.*.
    """
    if not bundle.is_of_changes:
        yield None
        return
    if not folder:
        raise _missing(bundle, "no `base` was given")
    path = Path(folder) / record_index.PROVEN
    try:
        with record_index.opened(path, service_uid=service_uid) as index:
            if index.about.bundle_id != bundle.manifest["base"]:
                raise OpsError(
                    f"{path} is of bundle {index.about.bundle_id}, expected {bundle.manifest['base']}",
                    code="import.base_differs",
                    hint=_WHOLE,
                )
            yield index
    except FileMissing:
        raise _missing(bundle, f"there is no {path}") from None


def _missing(bundle: Bundle, found: str) -> OpsError:
    return OpsError(
        f"the bundle holds what changed since bundle {bundle.manifest['base']}, and {found}",
        code="import.base_missing",
        hint=f"give that bundle's folder as `base`; data_import leaves {record_index.PROVEN} there when it proved it",
    )


def require_unmoved(store: Store, index: Index, bundle: Bundle, *, check: bool) -> FoundBy:
    """Return how it was found that nothing moved since the base was proven but what the bundle holds.

    check: asks no oplog, because to ask leaves a mark in it. Raises OpsError import.destination_moved.
    """
    held = _keys(bundle)
    told = None if check else told_by_oplog(store, index.about.since)
    if told is not None:
        moved = {(name, record_bytes.id_key(one)) for name, ids in told.items() for one in ids}
    else:
        moved = {(name, key) for name, key, _raw in by_raw_read(store, index, DatabaseDigest())}
    others = sorted(moved - held)
    if others:
        named = [f"{name}/{record_id_text(record_bytes.id_of(key))}" for name, key in others[:LISTED_AT_MOST]]
        raise OpsError(
            f"{len(others)} record(s) here changed since they were proven, expected none: {listed(named)}",
            code="import.destination_moved",
            hint="find what writes to the destination and stop it; export without `base`, and import that",
        )
    return FoundBy.RAW_READ if told is None else FoundBy.OPLOG


def _keys(bundle: Bundle) -> set[tuple[str, bytes]]:
    keys = set[tuple[str, bytes]]()

    def batch(collection: str, expected: list[OpenedRecord]) -> None:
        keys.update((collection, one.key) for one in expected)

    bundle.each_batch(batch)
    return keys
