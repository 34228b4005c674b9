# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A rotation as its record in `kek_rotations` holds it: the plan that everybody follows, and how far it is. Pure.

The record is written by whoever leads and read by helpers, by later slices and runs, and by kek_info.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime

from . import rotation_progress
from .instants import rfc3339
from .rotation_states import State
from .values import BsonValue, Document, JsonObject


def rotation_id(to_version: int) -> str:
    """Return the id of a rotation, "to-2": whoever resumes it finds it by where it goes."""
    return f"to-{to_version}"


@dataclass(frozen=True, slots=True)
class Plan:
    """What a rotation does, from one survey. The one holder of `to_version`: everybody who re-wraps has it from here.

    from_versions: of the envelopes that move. compromised: they are sealed anew. active: version before the swap.
    envelopes: version -> how many were found. catalogue: which fields were known to be sealed, as a digest.
    layout: name of the layout that opens them. number: of the plan, the lease token of the leader that made it.
    since: where the server's oplog was before the survey, None without one. bare: collections without an envelope.
    """

    to_version: int
    from_versions: tuple[int, ...]
    compromised: bool
    active: int
    envelopes: Mapping[int, int]
    catalogue: str
    layout: str = ""
    number: int = 0
    since: tuple[BsonValue, BsonValue] | None = None
    bare: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        return rotation_id(self.to_version)

    @property
    def total(self) -> int:
        return sum(self.envelopes.values())

    @property
    def at_target(self) -> int:
        """Envelopes that were under the version already."""
        return self.envelopes.get(self.to_version, 0)

    @property
    def before(self) -> JsonObject:
        """What a diff shows as it was before the rotation."""
        return {"active": self.active, "envelopes": by_version(self.envelopes)}

    def after(self, active: int, remaining: int, total: int) -> JsonObject:
        """Return what a diff shows as it is now. remaining: envelopes of `total` that are under other versions."""
        counts = {str(self.to_version): total - remaining}
        if remaining:
            counts[", ".join(map(str, self.from_versions))] = remaining
        return {"active": active, "envelopes": counts}


def by_version(envelopes: Mapping[int, int]) -> dict[str, int]:
    """Return KEK version -> envelopes, as results show it."""
    return {str(version): count for version, count in sorted(envelopes.items())}


@dataclass(frozen=True, slots=True)
class Share:
    """What one run did, all its slices together. made, opened: wraps, and those that were opened again.

    retries: HSM calls that were made again. settling_since: when this run first waited for the fleet.
    """

    rewrapped: int = 0
    conflicts: int = 0
    made: int = 0
    opened: int = 0
    retries: int = 0
    settling_since: datetime | None = None

    def plus(self, other: Share) -> Share:
        """Return both together, as of this one's run."""
        return Share(
            rewrapped=self.rewrapped + other.rewrapped,
            conflicts=self.conflicts + other.conflicts,
            made=self.made + other.made,
            opened=self.opened + other.opened,
            retries=self.retries + other.retries,
            settling_since=self.settling_since,
        )


@dataclass(frozen=True, slots=True)
class Rotation:
    """A record as it was read. plan: None where none is to be followed. token: of the lease of who led last.

    planned: envelopes that this plan moves, put right by each verification; moved: those that did. total: envelopes at
    the last look at everything. rounds: verifications that found something left. swept: collections that an unfinished
    pass has behind it. shares: by run.
    """

    name: str
    state: State
    token: int
    to_version: int
    from_versions: tuple[int, ...]
    compromised: bool
    plan: Plan | None
    planned: int = 0
    moved: int = 0
    total: int = 0
    rounds: int = 0
    swept: tuple[str, ...] = ()
    rewrapped_total: int = 0
    conflicts: int = 0
    failures: tuple[Mapping[str, str], ...] = ()
    shares: Mapping[str, Share] = field(default_factory=dict)
    started_at: datetime | None = None
    updated_at: datetime | None = None
    progress: JsonObject = field(default_factory=dict)

    @property
    def remaining(self) -> int:
        return max(0, self.planned - self.moved)

    def share(self, run: str) -> Share:
        """Return what a run did so far."""
        return self.shares.get(run, Share())

    def as_result(self) -> JsonObject:
        """Return the rotation as kek_info shows it."""
        return {
            "id": self.name,
            "state": str(self.state),
            "from_versions": list(self.from_versions),
            "to_version": self.to_version,
            "compromised": self.compromised,
            "rewrapped": self.rewrapped_total,
            **self.progress,
            "conflicts": self.conflicts,
            "failures": [dict(failure) for failure in self.failures],
            "started_at": rfc3339(self.started_at),
            "updated_at": rfc3339(self.updated_at),
        }


def plan_document(plan: Plan) -> Document:
    """Return the fields of the record that hold a plan."""
    return {
        "to_version": plan.to_version,
        "from_versions": list(plan.from_versions),
        "compromised": plan.compromised,
        "plan": {
            "number": plan.number,
            "layout": plan.layout,
            "active": plan.active,
            "envelopes": by_version(plan.envelopes),
            "catalogue": plan.catalogue,
            "since": None if plan.since is None else list(plan.since),
            "bare": list(plan.bare),
        },
    }


def from_document(document: Document) -> Rotation:
    """Return the rotation of a record. What is missing or of no known form is read as nothing to go on from."""
    to_version, compromised = int(document.get("to_version") or 0), bool(document.get("compromised"))
    from_versions = tuple(int(version) for version in document.get("from_versions") or ())
    return Rotation(
        name=str(document["_id"]),
        state=_state(document.get("state")),
        token=int(document.get("token") or 0),
        to_version=to_version,
        from_versions=from_versions,
        compromised=compromised,
        plan=_plan(document.get("plan"), to_version, from_versions, compromised),
        planned=int(document.get("planned") or 0),
        moved=int(document.get("moved") or 0),
        total=int(document.get("total") or 0),
        rounds=int(document.get("rounds") or 0),
        swept=tuple(document.get("swept") or ()),
        rewrapped_total=int(document.get("rewrapped_total") or 0),
        conflicts=int(document.get("conflicts") or 0),
        failures=tuple(document.get("failures") or ()),
        shares=_shares((document.get("runs") or {}).items()),
        started_at=document.get("started_at"),
        updated_at=document.get("updated_at"),
        progress=rotation_progress.of(document),
    )


def _state(stored: object) -> State:
    """Return the state of a record. SAFE BECAUSE one that is not known here is planned anew, from the envelopes."""
    return next((state for state in State if state == stored), State.PLANNING)


def _plan(stored: Document | None, to_version: int, from_versions: tuple[int, ...], compromised: bool) -> Plan | None:
    if stored is None:
        return None
    return Plan(
        to_version=to_version,
        from_versions=from_versions,
        compromised=compromised,
        active=int(stored["active"]),
        envelopes={int(version): int(count) for version, count in stored["envelopes"].items()},
        catalogue=str(stored["catalogue"]),
        layout=str(stored["layout"]),
        number=int(stored["number"]),
        since=_since(stored.get("since")),
        bare=tuple(stored.get("bare") or ()),
    )


def _since(stored: BsonValue) -> tuple[BsonValue, BsonValue] | None:
    return (stored[0], stored[1]) if isinstance(stored, list) and len(stored) == 2 else None


def _shares(runs: Iterable[tuple[str, Document]]) -> dict[str, Share]:
    return {run: _share(counts) for run, counts in runs}


def _share(counts: Document) -> Share:
    return Share(
        rewrapped=int(counts.get("rewrapped") or 0),
        conflicts=int(counts.get("conflicts") or 0),
        made=int(counts.get("made") or 0),
        opened=int(counts.get("opened") or 0),
        retries=int(counts.get("retries") or 0),
        settling_since=counts.get("settling_since"),
    )
