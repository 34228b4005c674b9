# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which records changed since an instant, where the server keeps an oplog: so that what did not need not be read again.

    since = begin(store)
    ...                                             # read everything
    ids = changed_since(store, since, apart_from=("users",))

Either answer may be None: a server without an oplog, one whose oplog does not reach back so far, a user who may not
watch, a collection that was dropped or renamed. Whoever asks must then read everything. Source: MongoDB manual, "Change
Streams", "Change Events".
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Iterable
from typing import NamedTuple, Protocol, TypeAlias

from .._domain.values import BsonValue, Document
from .._domain.what_travels import BOOKKEEPING
from .connection import Store, driver_errors
from .driver import errors
from .record_bytes import id_key

MARKS, MARK = "locks", "oplog"  # where leases are: their writes mark the time as well as ours
CHANGES_AT_MOST = 100_000  # records: beyond, reading everything is not dearer than looking each of them up
ANSWER_S = 120.0  # until the server has told of a write that was made after the question
_POLL_MS = 200
_QUIET_POLLS = 3  # without an event, until a server that is only asked counts as having told everything
_OF_ONE_RECORD = frozenset({"insert", "update", "replace", "delete"})

Changes: TypeAlias = dict[str, list[BsonValue]]
"""Collection -> ids of its records that were inserted, changed or removed, each once."""


class Instant(Protocol):
    """A place in the server's oplog: a BSON timestamp."""

    def __lt__(self, other: object) -> bool: ...


class Since(NamedTuple):
    """A place in the oplog, as the server calls it, and an instant after a mark of ours that was left behind it.

    WHY not an instant alone: from a token a server goes on; for an instant it may look through all of its oplog. WHY a
    mark: an oplog that was cut, by a server that does not say so, does not tell of it.
    """

    token: Document
    marked: Instant

    @classmethod
    def of(cls, stored: tuple[Document, Instant] | None) -> Since | None:
        """Return it from what a record kept of it; None also for what an earlier release kept."""
        return cls(*stored) if stored is not None and isinstance(stored[0], dict) else None


def begin(store: Store) -> Since | None:
    """Leave a mark in the oplog and return where it is; None where the server keeps no oplog."""
    with driver_errors(store):
        try:
            with store.watch([], None, wait_ms=_POLL_MS) as events:
                token = events.resume_token
            _mark(store)
        except errors.OperationFailure:
            return None  # no oplog, or this user may not watch, or may not leave a mark
    marked = _instant(store)
    return None if marked is None or token is None else Since(token, marked)


def changed_since(store: Store, since: Since, *, apart_from: Iterable[str]) -> Changes | None:
    """Return the records of users that changed since, those of some collections left out; None: read everything.

    INVARIANT: every change that the server had acknowledged before the call is in the answer, because the server tells
    of changes in their order, from the mark at the beginning to one that is made now.
    """
    ignored = sorted({*apart_from, *BOOKKEEPING} - {MARKS})
    # WHY not by kind: an event of a kind that we do not know must be seen, so that everything is read.
    wanted: list[Document] = [
        {"$match": {"ns.coll": {"$nin": ignored}}},
        {"$project": {"fullDocument": 0, "updateDescription": 0}},
    ]
    with driver_errors(store):
        try:
            with store.watch(wanted, since.token, wait_ms=_POLL_MS) as events:
                now = _instant(store)
                _mark(store)
                return None if now is None else _told(events, since, now)
        except errors.OperationFailure:
            return None  # no oplog, or not so far back, or not for this user


def seems_unchanged(store: Store, since: Since) -> bool:
    """Return whether the server tells of no change since, for check mode: nothing is written, so nothing is proven.

    WHY quiet ends it: without a mark of its own the question has no other end. True also needs the mark that was left
    at the beginning, so that an oplog that was cut is not taken for one that is quiet.
    """
    wanted: list[Document] = [{"$match": {"ns.coll": {"$nin": sorted({*BOOKKEEPING} - {MARKS})}}}]
    quiet, whole, until = 0, False, time.monotonic() + ANSWER_S
    with driver_errors(store):
        try:
            with store.watch(wanted, since.token, wait_ms=_POLL_MS) as events:
                while events.alive and quiet < _QUIET_POLLS and time.monotonic() < until:
                    event = events.try_next()
                    if event is None:
                        quiet += 1
                    elif event.get("ns", {}).get("coll") == MARKS:
                        whole, quiet = whole or not since.marked < event["clusterTime"], 0
                    else:
                        return False
        except errors.OperationFailure:
            return False
    return whole and quiet == _QUIET_POLLS


def _instant(store: Store) -> Instant | None:
    """Return the place of the server's last write."""
    return store.command({"ping": 1}).get("operationTime")


def _mark(store: Store) -> None:
    """Leave a mark in the oplog, and in the database nothing."""
    mark = {"_id": f"{MARK}-{secrets.token_hex(8)}"}
    store.collection(MARKS).insert_one(mark)
    store.collection(MARKS).delete_one(mark)


class _Events(Protocol):
    alive: bool

    def try_next(self) -> Document | None: ...


def _told(events: _Events, since: Since, last: Instant) -> Changes | None:
    """Return what the events tell between a mark not after `since.marked` and one after `last`; None: they do not."""
    changes: dict[str, dict[bytes, BsonValue]] = {}
    count, whole, until = 0, False, time.monotonic() + ANSWER_S
    while events.alive and time.monotonic() < until:
        event = events.try_next()
        if event is None:
            continue  # WHY not the end: a server answers so as well when it left out all that it went through
        collection = event.get("ns", {}).get("coll")
        if collection == MARKS:
            whole = whole or not since.marked < event["clusterTime"]
            if last < event["clusterTime"]:
                return {name: list(ids.values()) for name, ids in changes.items()} if whole else None
            continue
        if event["operationType"] not in _OF_ONE_RECORD:
            return None
        of_collection, record_id = changes.setdefault(collection, {}), event["documentKey"]["_id"]
        key = id_key(record_id)
        if key not in of_collection:
            of_collection[key], count = record_id, count + 1
        if count > CHANGES_AT_MOST:
            return None
    return None
