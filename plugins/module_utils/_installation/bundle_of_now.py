# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether a bundle that is there still says what its source is, so that nothing has to be written again."""

from __future__ import annotations

from contextlib import ExitStack

from .._domain.errors import OpsError
from .._domain.manifest import Manifest
from .._store import changes
from .._store.connection import Store
from .._store.record_index import Index
from .export_place import Place
from .moved_records import state_of, told_by_oplog


def is_of_now(store: Store, there: Place, existing: Manifest) -> bool:
    """Return whether the source still is what the bundle says: by its oplog, or by one read without opening.

    Without its index a bundle is made anew: nothing could be exported on top of it.
    """
    with ExitStack() as stack:
        index = _index_of(stack, there, existing)
        if index is None:
            return False
        moved = told_by_oplog(store, index.about.since)
        return not moved if moved is not None else _is_of_state(store, index)


def seems_of_now(store: Store, there: Place, existing: Manifest) -> bool:
    """Return what `is_of_now` will, without a mark in the oplog: for check mode."""
    with ExitStack() as stack:
        index = _index_of(stack, there, existing)
        if index is None:
            return False
        since = index.about.since
        return (since is not None and changes.seems_unchanged(store, since)) or _is_of_state(store, index)


def _index_of(stack: ExitStack, there: Place, existing: Manifest) -> Index | None:
    try:
        index = stack.enter_context(there.index())
    except OpsError:
        return None
    return index if index.about.bundle_id == existing["bundle_id"] else None


def _is_of_state(store: Store, index: Index) -> bool:
    state = index.state()
    return state is not None and state_of(store, index) == state
