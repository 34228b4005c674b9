# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Backup, import and the freeze of a migration against plain copies of the same records by pymongo.

Nine of ten records hold nothing sealed, as in a database with its job history. A freeze is what is done while the
source is stopped: the export of what changed, its import with the proof, and the look whether the source is the same.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pyrage
from ansible_collections.certautopilot.ops.plugins.module_utils._store import changes
from bson.raw_bson import RawBSONDocument
from pymongo import WriteConcern

from tests.integration.site import Site
from tests.support import database
from tests.support.database import DatabaseServer

from .cases_env import dropped, env_site
from .cases_hsm import NOT_BUILT, can_build, slow_token
from .floor import BATCH
from .machine import CpuClock
from .report import Goal, Row

PLAIN, SEALED = "job_history", "dns_credentials"
CHANGED = 10
IMPORT = Goal(True, 0.5, "of a raw copy")
BACKUP = Goal(True, 0.7, "of a raw copy")
FREEZE = Goal(False, 3.0, "x one raw read")
SAME = Goal(False, 1.2, "x the small one")
LINEAR = Goal(False, 1.1, "x N ratio")


class _Migration:
    """A source with records, a destination on a server of its own without, and the bundles between them."""

    def __init__(self, server: DatabaseServer, other: DatabaseServer, folder: Path, size: int) -> None:
        self.folder, self.size = folder, size
        self.source = env_site(server, folder / "source", size // 10)
        plain = [
            {"job": f"renewal {n}", "attempt": n % 7, "result": "renewed in time"} for n in range(size // 10, size)
        ]
        for start in range(0, len(plain), 5_000):
            self.source.db[PLAIN].insert_many(plain[start : start + 5_000], ordered=False)
        self.destination = Site(folder / "destination", other.uri, other.new_name("bench"))
        self.destination.add_kek(1)
        self.destination.write()
        self.destination.call("kek_install_lock")
        identity = pyrage.x25519.Identity.generate()
        self._recipients = (str(identity.to_public()),)
        self._identity = folder / "identity"
        self._identity.touch(mode=0o600)
        self._identity.write_text(f"{identity}\n", encoding="ascii")

    def export(self, name: str, **options: Any) -> bool:
        """Export into a folder of this name; return whether that changed anything."""
        done = self.source.call("data_export", dest=str(self.folder / name), recipients=self._recipients, **options)
        return bool(done.changed)

    def load(self, name: str, **options: Any) -> dict[str, Any]:
        done = self.destination.call(
            "data_import", src=str(self.folder / name), identity_file=str(self._identity), **options
        )
        told: dict[str, Any] = done.values["manifest"]
        if (told["records"], told["equal"]) != (self.size, self.size):
            raise RuntimeError(f"the import did not prove {self.size} records: {told}")
        return told

    def change_some(self) -> None:
        """Change CHANGED records, half of them with an envelope."""
        for name in (PLAIN, SEALED):
            ids = [one["_id"] for one in self.source.db[name].find({}, {"_id": 1}).limit(CHANGED // 2)]
            self.source.db[name].update_many({"_id": {"$in": ids}}, {"$set": {"result": os.urandom(4).hex()}})

    def go_to_hsm(self, settings: dict[str, str]) -> None:
        """Have another destination from now on, whose KEK is in a token."""
        server = self.destination.uri
        dropped(self.destination)
        self.destination = Site(self.folder / "hsm", server, f"{self.destination.name}_hsm", provider="pkcs11")
        self.destination.pkcs11 = settings
        self.destination.write()
        self.destination.call("kek_pkcs11_init", version=1)

    def freeze(self) -> str:
        """Move what changed, and prove both sides; return how the changes were found."""
        base = str(self.folder / "bundle")
        self.export("changes", base=base)
        told = self.load("changes", base=base)
        if self.export("changes", base=base):
            raise RuntimeError("the source changed while nothing wrote to it")
        return f"{told['found_by']} at the source, {told['unmoved_by']} at the destination"

    def raw(self) -> Iterator[Any]:
        """Yield every record as the driver gives it without decoding."""
        for name in (PLAIN, SEALED):
            collection = self.source.db.get_collection(
                name, codec_options=self.source.db.codec_options.with_options(document_class=RawBSONDocument)
            )
            yield from ((name, one) for one in collection.find({}, batch_size=BATCH).sort("_id", 1))

    def read_raw(self) -> None:
        for _record in self.raw():
            pass

    def copy_raw(self) -> None:
        """Copy every record into another database: read once, written in batches with majority and journal."""
        target = self.source.client.get_database(
            f"{self.source.name}_copy", write_concern=WriteConcern(w="majority", j=True)
        )
        held: dict[str, list[Any]] = {PLAIN: [], SEALED: []}
        for name, one in self.raw():
            held[name].append(one)
            if len(held[name]) == BATCH:
                target[name].insert_many(held[name], ordered=False)
                held[name] = []
        for name, rest in held.items():
            if rest:
                target[name].insert_many(rest, ordered=False)
        self.source.client.drop_database(target.name)

    def write_raw(self) -> None:
        """Read every record and write it into a file, synced."""
        with open(self.folder / "raw", "wb") as out:
            for _name, one in self.raw():
                out.write(one.raw)
            out.flush()
            os.fsync(out.fileno())

    def drop(self) -> None:
        dropped(self.source)
        dropped(self.destination)


def migration_rows(server: DatabaseServer, folder: Path, sizes: Sequence[int]) -> list[Row]:
    """Return the rows of backup, import and freeze at each size, and how they grow from the first to the last.

    WHY two servers: a migration goes to a new one, and the source's oplog does not hold what the destination's took in.
    """
    rows, imports, freezes = list[Row](), list[float](), list[float]()
    with database.running(folder / "destination-server", sync_on_commit=False) as other:
        for size in sizes:
            one = _Migration(server, other, folder / f"migration{size}", size)
            clock = CpuClock(server.pid, other.pid)
            measured, import_s, freeze_s = _measured(one, clock, with_goals=size == max(sizes))
            rows += measured
            imports.append(import_s)
            freezes.append(freeze_s)
            if size == max(sizes):
                rows += _hsm_rows(one, clock, folder / "slow")
            one.drop()
    growth = (imports[-1] / imports[0]) / (sizes[-1] / sizes[0])
    return [
        *rows,
        Row("import with proof: time grows with N", sizes[-1], imports[-1], growth, LINEAR),
        Row("freeze: time does not grow", sizes[-1], freezes[-1], freezes[-1] / freezes[0], SAME),
    ]


def _measured(one: _Migration, clock: CpuClock, *, with_goals: bool) -> tuple[list[Row], float, float]:
    """Return (rows, seconds of the import, seconds of the freeze by the oplog) of one migration."""
    size = one.size
    read_s, write_s, copy_s = _took(one.read_raw), _took(one.write_raw), _took(one.copy_raw)
    backup_s = _took(lambda: one.source.call("db_backup", dest=str(one.folder / "backup")))
    export_s, import_s = _took(lambda: one.export("bundle")), _took(lambda: one.load("bundle"))
    one.change_some()
    by_oplog_s, oplog = _told(one.freeze)
    with _without_oplog():
        one.export("bundle")
        one.load("bundle")
        one.change_some()
        by_raw_read_s, raw_read = _told(one.freeze)
    doubt = clock.doubt()
    backup, load, freeze = (BACKUP, IMPORT, FREEZE) if with_goals else (None, None, None)
    rows = [
        Row("floor: one raw read", size, read_s),
        Row("floor: raw copy, majority and journal", size, copy_s),
        Row("backup, opened", size, backup_s, write_s / backup_s, backup, doubt=doubt),
        Row("export", size, export_s, copy_s / export_s),
        Row("import with proof", size, import_s, copy_s / import_s, load, doubt=doubt),
        Row("freeze", size, by_oplog_s, by_oplog_s / read_s, freeze, oplog, doubt),
        Row("freeze without an oplog", size, by_raw_read_s, by_raw_read_s / read_s, freeze, raw_read, doubt),
    ]
    return rows, import_s, by_oplog_s


def _hsm_rows(one: _Migration, clock: CpuClock, folder: Path) -> list[Row]:
    """Return the rows of a freeze to a token that takes a millisecond for each call."""
    name = "freeze to an HSM, 1 ms a call"
    if not can_build():
        return [Row(name, one.size, note=NOT_BUILT)]
    with slow_token(folder) as (_token, settings):
        one.go_to_hsm(settings)
        read_s = _took(one.read_raw)
        one.export("bundle")
        one.load("bundle")
        one.change_some()
        by_oplog_s, oplog = _told(one.freeze)
        with _without_oplog():
            one.export("bundle")
            one.load("bundle")
            one.change_some()
            by_raw_read_s, raw_read = _told(one.freeze)
    return [
        Row(name, one.size, by_oplog_s, by_oplog_s / read_s, FREEZE, oplog, clock.doubt()),
        Row(f"{name}, no oplog", one.size, by_raw_read_s, by_raw_read_s / read_s, FREEZE, raw_read, clock.doubt()),
    ]


def _took(work: Callable[[], Any]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def _told(work: Callable[[], str]) -> tuple[float, str]:
    began = time.perf_counter()
    told = work()
    return time.perf_counter() - began, told


@contextmanager
def _without_oplog() -> Iterator[None]:
    """Let the server look like one that keeps no oplog, as a standalone one does."""
    kept, changes.begin = changes.begin, lambda _store: None
    try:
        yield
    finally:
        changes.begin = kept
