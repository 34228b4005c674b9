# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is true after a run: every record opened by the oracle, every acknowledged write of the logs looked for."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import bson

from tests.support.oracle import Side, envelopes_in
from tests.support.service.load import COLLECTION, FIELD

REWRAPPED = {"wrapped_dek", "kek_version", "kv"}  # all that a re-wrap may change
SHOWN = 5  # places of each kind that are named


@dataclass(frozen=True)
class Written:
    """What may stand for one record. newest: the last acknowledged line, None for one that never was acknowledged."""

    newest: dict[str, Any] | None
    unanswered: tuple[dict[str, Any], ...]

    def allows(self, digest: str) -> dict[str, Any] | None:
        """Return the line that explains this payload, None when it is not the one that must stand."""
        last = self.newest["sequence"] if self.newest else -1
        lines = [line for line in self.unanswered if line["sequence"] > last]
        return next((line for line in [self.newest, *lines] if line and line["sha256"] == digest), None)


@dataclass
class Verdict:
    """Counts over the whole database, and the first places of everything that is wrong."""

    envelopes: int = 0
    opened: int = 0
    untouched: int = 0
    found_writes: int = 0
    by_version: Counter[int] = field(default_factory=Counter)
    wrong: Counter[str] = field(default_factory=Counter)
    places: list[str] = field(default_factory=list)

    def add(self, kind: str, place: str) -> None:
        self.wrong[kind] += 1
        if self.wrong[kind] <= SHOWN:
            self.places.append(f"{kind}: {place}")


def fingerprints(site: Any) -> dict[bytes, bytes]:
    """Return a digest of every record by its place, payloads included, without what a re-wrap may change."""
    side = Side(site.config_file, site.secrets_file)
    return {
        _key(name, document["_id"]): _fingerprint(document)
        for name in side.collections()
        for document in side.db[name].find()
    }


def written(logs: list[Path]) -> dict[str, Written]:
    """Return what the writers' logs say, by record id."""
    acknowledged: dict[str, dict[str, Any]] = {}
    unanswered: dict[str, list[dict[str, Any]]] = {}
    for log in logs:
        for line in _lines(log):
            if line["sequence"] >= acknowledged.get(line["id"], line)["sequence"]:
                acknowledged[line["id"]] = line
        for line in _lines(log.with_name(f"{log.name}.unanswered")):
            unanswered.setdefault(line["id"], []).append(line)
    ids = {*acknowledged, *unanswered}
    return {name: Written(acknowledged.get(name), tuple(unanswered.get(name, ()))) for name in ids}


def acknowledged_by_version(logs: list[Path]) -> Counter[int]:
    """Return how many writes were acknowledged under each KEK version."""
    return Counter(line["version"] for log in logs for line in _lines(log))


def judge(site: Any, before: dict[bytes, bytes], writes: dict[str, Written], to_version: int) -> Verdict:
    """Return the verdict on the whole database.

    An envelope under an older version is right only where a writer's log says that it was written so: the writers have
    no heartbeat, so one of them may have sealed under the old version just before the rotation ended.
    """
    verdict = Verdict()
    missing, unseen = set(before), set(writes)
    side = Side(site.config_file, site.secrets_file)
    for name in side.collections():
        for document in side.db[name].find():
            key, record_id = _key(name, document["_id"]), str(document["_id"])
            log = writes.get(record_id) if name == COLLECTION else None
            unseen.discard(record_id if log else "")
            payloads = _open_all(side, name, document, verdict)
            if key in before:
                missing.discard(key)
                same = _fingerprint(document) == before[key]
                verdict.untouched += same
                if not same:
                    verdict.add("changed", f"{name}/{record_id}")
            line = log.allows(hashlib.sha256(payloads.get(FIELD, b"")).hexdigest()) if log else None
            verdict.found_writes += line is not None
            if key not in before and line is None:
                verdict.add("lost write" if log else "unknown record", f"{name}/{record_id}")
            _judge_versions(verdict, f"{name}/{record_id}", document, line, to_version)
    for key in missing:
        verdict.add("lost record", repr(bson.decode(key)))
    for record_id in unseen:
        if writes[record_id].newest is not None:
            verdict.add("lost write", record_id)
    return verdict


def _judge_versions(verdict: Verdict, place: str, document: dict[str, Any], line: Any, to_version: int) -> None:
    for path, envelope in envelopes_in(document):
        versions = (document.get("kek_version"), envelope["kek_version"], envelope["kv"])
        verdict.by_version[envelope["kek_version"]] += 1
        if len(set(versions)) != 1:
            verdict.add("tags disagree", f"{place}.{path}: {versions}")
        elif versions[0] != to_version and (line is None or line["version"] != versions[0]):
            verdict.add("left behind", f"{place}.{path}: {versions[0]}")


def _open_all(side: Side, name: str, document: dict[str, Any], verdict: Verdict) -> dict[str, bytes]:
    payloads = {}
    for path, envelope in envelopes_in(document):
        verdict.envelopes += 1
        try:
            payloads[path] = side.open(document["_id"], path, envelope)
            verdict.opened += 1
        except Exception as cause:  # noqa: BLE001 - whatever it is, this envelope did not open
            verdict.add("unreadable", f"{name}/{document['_id']}.{path}: {type(cause).__name__}")
    return payloads


def _lines(log: Path) -> Iterator[dict[str, Any]]:
    if log.exists():
        yield from (json.loads(line) for line in log.read_text().splitlines())


def _key(collection: str, record_id: Any) -> bytes:
    return bson.encode({"collection": collection, "_id": record_id})


def _fingerprint(document: dict[str, Any]) -> bytes:
    return hashlib.sha256(bson.encode(_without_wrap(document))).digest()


def _without_wrap(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _without_wrap(child) for name, child in value.items() if name not in REWRAPPED}
    return [_without_wrap(child) for child in value] if isinstance(value, list) else value
