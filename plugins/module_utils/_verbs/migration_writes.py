# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Verb migration_writes: what a destination has written since its migration was accepted; a roll-back would lose it.

By the oplog, from the place that the acceptance noted; else by one read against the index that the import left, which
also tells what came after the first proof and before the acceptance: then the counts are an upper bound. Where there
is neither, nobody can tell, and that is the answer. Nothing is opened.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from .._domain.catalogue import record_id_text
from .._domain.errors import OpsError
from .._domain.listing import LISTED_AT_MOST
from .._domain.result import Result
from .._domain.settings import Settings
from .._domain.values import JsonObject
from .._installation.installation import open_database
from .._installation.moved_records import Moved, by_raw_read, looked_up, told_by_oplog
from .._store import imports, record_bytes, record_index
from .._store.connection import Store
from .._store.every_record import DatabaseDigest
from .._store.imports import ImportRecord, ImportState

OPLOG, INDEX, UNKNOWN = "oplog", "index", "unknown"
PROJECTS = "projects"  # whose records are of themselves


@dataclass(frozen=True, slots=True)
class Options:
    """source_install_id: which import, None where the database has exactly one. index_file: `proven.index`, kept."""

    source_install_id: str | None = None
    index_file: str | None = None


@dataclass(slots=True)
class _Tally:
    """What was written, counted. places: the first of them."""

    written: Counter[str] = field(default_factory=Counter)
    gone: Counter[str] = field(default_factory=Counter)
    projects: Counter[str] = field(default_factory=Counter)
    places: list[str] = field(default_factory=list)

    def add(self, moved: Moved) -> None:
        collection, key, raw = moved
        record_id = record_bytes.id_of(key)
        if raw is None:
            self.gone[collection] += 1
        else:
            self.written[collection] += 1
            self.projects[_project(collection, record_id, raw)] += 1
        if len(self.places) < LISTED_AT_MOST:
            self.places.append(f"{collection}/{record_id_text(record_id)}{'' if raw is not None else ' (gone)'}")

    def as_result(self) -> JsonObject:
        names = sorted({*self.written, *self.gone})
        return {
            "records": sum(self.written.values()) + sum(self.gone.values()),
            "collections": {name: {"written": self.written[name], "gone": self.gone[name]} for name in names},
            "projects": dict(sorted(self.projects.items())),
            "places": self.places,
        }


def run(settings: Settings, options: Options, *, check: bool, warn: Callable[[str], None]) -> Result:
    """Count. Raises OpsError migration.none, migration.ambiguous, index.damaged, file.*, database.*."""
    with open_database(settings) as store:
        found = imports.chosen(store, options.source_install_id)
        if found.state != ImportState.ACCEPTED:
            return _result(found, {"accepted": False, "found_by": "", "exact": True, **_Tally().as_result()})
        with _moved(store, found, options, settings.service_uid) as (found_by, moved):
            if moved is None:
                nothing: JsonObject = {"records": None, "collections": {}, "projects": {}, "places": []}
                return _result(found, {"accepted": True, "found_by": found_by, "exact": False, **nothing})
            tally = _Tally()
            for one in moved:
                tally.add(one)
        told: JsonObject = {"accepted": True, "found_by": found_by, "exact": found_by == OPLOG}
        return _result(found, {**told, **tally.as_result()})


@contextmanager
def _moved(
    store: Store, found: ImportRecord, options: Options, service_uid: int | None
) -> Iterator[tuple[str, Iterator[Moved] | None]]:
    """Yield what tells of the changes, and the changes; None: nothing tells."""
    ids = told_by_oplog(store, imports.accepted_since(store, found.source_install_id))
    if ids is not None:
        yield OPLOG, looked_up(store, ids)
        return
    path = Path(options.index_file) if options.index_file else None
    if path is None or not path.exists():
        yield UNKNOWN, None
        return
    with record_index.opened(path, service_uid=service_uid) as index:
        yield INDEX, by_raw_read(store, index, DatabaseDigest())


def _project(collection: str, record_id: object, raw: bytes) -> str:
    """Return the id of the project that a record is of, "" for none or one that cannot be decoded."""
    if collection == PROJECTS:
        return record_id_text(record_id)
    try:
        project = record_bytes.decode(raw).get("project_id")
    except OpsError:
        return ""
    return "" if project is None else record_id_text(project)


def _result(found: ImportRecord, writes: JsonObject) -> Result:
    return Result(changed=False, values={"migration": found.as_result(), "writes": writes}, before={}, after={})
