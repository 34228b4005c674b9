# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The index of what was proven at a destination, so that later one raw read, or its oplog, shows that it has not moved.

    with proven_index.beside(folder, store, bundle_id, warn) as index:
        index.begin()                                    # before the walk that may be the proof
        ...  index.note(collection, pairs, equal)
        index.put()                                      # the proof holds

It only saves work: where it cannot be written, the import is what it was, and changes cannot be imported on top of it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import BinaryIO

from .._domain.errors import OpsError
from .._domain.file_failures import failures_of
from .._store import changes, private_files, record_index, unfinished
from .._store.connection import Store
from .lockstep import Pair


class ProvenIndex:
    """An index under way. What of it is already there stays until another one is put in its place.

    Where writing fails, as on a disk that is full, it is given up with a warning: an import must not fail for it.
    """

    def __init__(
        self, raw: BinaryIO, temporary: Path, path: Path, store: Store, bundle_id: str, warn: Callable[[str], None]
    ) -> None:
        self._raw, self._temporary, self._path, self._store, self._bundle_id = raw, temporary, path, store, bundle_id
        self._warn = warn
        self._writer: record_index.Writer | None = None

    def begin(self) -> None:
        """Begin anew: what follows is one walk over all of the destination."""
        about = record_index.About(self._bundle_id, changes.begin(self._store))
        with self._given_up_where_it_fails():
            self._raw.seek(0)
            self._raw.truncate()
            self._writer = record_index.Writer(self._raw, about)

    def note(self, collection: str, pairs: Sequence[Pair], equal: Sequence[bool]) -> None:
        """Take what a walk found; of a walk that finds anything different no index is made."""
        if not all(equal):
            self._writer = None
        with self._given_up_where_it_fails():
            for pair in pairs:
                if self._writer is not None and pair.found is not None:
                    self._writer.add(collection, pair.found)

    def put(self) -> None:
        """Put it in its place, if the walk was begun and found everything equal."""
        with self._given_up_where_it_fails():
            if self._writer is not None:
                self._writer.finish()
                self._temporary.replace(self._path)
                private_files.sync_folder(self._path.parent)

    @contextmanager
    def _given_up_where_it_fails(self) -> Iterator[None]:
        try:
            with failures_of(self._path):
                yield
        except OpsError as refusal:
            self._writer = None
            self._warn(_given_up(refusal))


def _given_up(refusal: OpsError) -> str:
    return f"changes cannot be imported on top of this bundle later, only all of it: {refusal.message}"


@contextmanager
def beside(
    folder: Path, store: Store, bundle_id: str, *, service_uid: int | None, warn: Callable[[str], None]
) -> Iterator[ProvenIndex | None]:
    """Yield the index of what is imported from the bundle in a folder; None, and a warning, where none can be made."""
    with ExitStack() as stack:
        try:
            private_files.require_fit(folder, service_uid=service_uid)
            unfinished.remove_dead(folder)
            with failures_of(folder):
                raw, temporary = stack.enter_context(unfinished.file_in(folder))
        except OpsError as refusal:
            warn(_given_up(refusal))
            yield None
            return
        yield ProvenIndex(raw, temporary, folder / record_index.PROVEN, store, bundle_id, warn)
