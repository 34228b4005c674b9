# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a rotation finds before it begins: whether there is anything to do, and whether it may be done.

Reads only. Before the first write every envelope is in the catalogue, the target's key is loaded here and in every live
process, and its GCM budget suffices.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from .._domain import gcm_budget
from .._domain.catalogue import Catalogue, Found
from .._domain.envelope import Envelope
from .._domain.errors import OpsError
from .._domain.fleet_gate import refusal
from .._domain.range_cuts import Cuts, Range
from .._domain.result import Result
from .._installation import survey as surveys
from .._installation.fleet_readiness import judged as judged_fleet
from .._installation.installation import Installation
from .._installation.survey import Survey
from .._store import keystore, rotations
from .._store.connection import Store
from .._store.keystore import Active
from .outcome import by_version, result_of
from .pipeline import CALLS_PER_ENVELOPE, Pace, Progress
from .shared_work import RotationPlan


@dataclass(frozen=True, slots=True)
class Options:
    """from_version: None means every other version. batch_size: documents. max_seconds: 0 for no limit.

    settle_timeout: seconds to wait after the swap until every live process writes with the new version.
    compromised: re-seal under new data keys and list what must be reissued. hsm_share: HSM calls a second of this
    process at most, 0 for no limit. workers: processes of this host that talk to the HSM. verify: which fresh wraps are
    opened again before they are written, one of wrap_proof.MODES.
    state: "rotated", or "cancelled" to take an unfinished rotation back to the active version.
    """

    to_version: int
    from_version: int | None = None
    batch_size: int = 500
    max_seconds: int = 0
    allow_empty_fleet: bool = False
    settle_timeout: int = 90
    allow_downgrade: bool = False
    state: str = "rotated"
    compromised: bool = False
    hsm_share: int = 0
    workers: int = 1
    verify: str = "all"

    def judge(self) -> None:
        """Raises OpsError rotate.options, rotate.same_version."""
        counts = {"to_version": self.to_version, "batch_size": self.batch_size, "workers": self.workers}
        limits = {"max_seconds": self.max_seconds, "hsm_share": self.hsm_share}
        if min(counts.values()) < 1 or min(limits.values()) < 0:
            raise OpsError(
                ", ".join(f"{name} is {value}" for name, value in {**counts, **limits}.items()),
                code="rotate.options",
                hint="versions, batch_size and workers are whole numbers from 1, max_seconds and hsm_share from 0",
            )
        if self.from_version == self.to_version:
            raise OpsError(
                f"from_version and to_version are both {self.to_version}",
                code="rotate.same_version",
                hint="leave from_version out to move every other version",
            )


RANGE_ENVELOPES = 2000  # to move, in a range that one process claims: some seconds of work


@dataclass(frozen=True, slots=True)
class Judged:
    """settled: nothing is left to do. before: as the diff shows it. total: envelopes. standing_state: of the rotation.

    ranges: cover what is under other versions. sample: for the layout, which is only looked for when something moves.
    """

    plan: RotationPlan
    settled: bool
    before: dict[str, Any]
    total: int
    standing_state: str
    ranges: list[Range]
    sample: list[tuple[Found, Envelope]]

    def nothing_to_do(self) -> Result:
        """Return the result of a rotation that is complete already."""
        values = {"rotation": self._result(Progress())}
        return Result(changed=False, values=values, before=self.before, after=self.before)

    def predicted(self) -> Result:
        """Return what a run would do, for check mode."""
        progress = Progress(rewrapped=sum(part.envelopes for part in self.ranges))
        after = {"active": self.plan.to_version, "envelopes": {str(self.plan.to_version): self.total}}
        return Result(changed=True, values={"rotation": self._result(progress)}, before=self.before, after=after)

    def _result(self, progress: Progress) -> dict[str, Any]:
        return result_of(self.plan.name, "complete", dict(self.plan.facts), progress, remaining=0)


@dataclass(frozen=True, slots=True)
class Seen:
    """A survey of the database and what was found of ranges on the way. Needs no key."""

    found: Survey
    cuts: Cuts
    pace: Pace


def look(store: Store, catalogue: Catalogue, options: Options, *, lease_s: float) -> Seen:
    """Return what the database holds. Raises OpsError catalogue.outside."""
    pace = Pace(_batch_size(options, lease_s), options.hsm_share)
    cuts = Cuts(options.to_version, stride=max(pace.batch_size, RANGE_ENVELOPES))
    found = surveys.take(store, catalogue, each=cuts.note)
    found.require_catalogued()
    return Seen(found, cuts, pace)


def settled_already(
    store: Store, catalogue: Catalogue, options: Options, *, lease_s: float
) -> tuple[Judged | None, Seen | None]:
    """Return (the judgement of a rotation that is complete, else None; what was seen, None where nobody looked).

    WHY without keys: a rotation that has nothing to do must not log in to the token, nor write that it does (T20).
    """
    active = keystore.read(store).active
    if active is None or active.version != options.to_version:
        return None, None
    seen = look(store, catalogue, options, lease_s=lease_s)
    judged = _judged(store, options, active, seen, lease_s=lease_s)
    return (judged if judged.settled else None), seen


def judge(
    installation: Installation, options: Options, *, lease_s: float, warn: Callable[[str], None],
    seen: Seen | None = None,
) -> Judged:  # fmt: skip
    """Return what is to be done. Raises OpsError rotate.*, fleet.*, catalogue.outside, budget.exhausted."""
    seen = seen or look(installation.store, installation.catalogue, options, lease_s=lease_s)
    active = _preflight(installation, options, seen.found)
    judged = _judged(installation.store, options, active, seen, lease_s=lease_s)
    if not judged.settled:
        _gate(installation, options)
        _judge_budget(installation, seen.found, options.to_version, warn)
    return judged


def _judged(store: Store, options: Options, active: Active, seen: Seen, *, lease_s: float) -> Judged:
    to_version, name, found = options.to_version, rotations.rotation_id(options.to_version), seen.found
    moving = {version: count for version, count in found.by_version.items() if version != to_version}
    before = {"active": active.version, "envelopes": by_version(found)}
    standing = rotations.read(store, name)
    unfinished = standing if standing is not None and standing.get("state") not in rotations.ENDED else {}
    # WHY also those of the earlier run: it emptied versions that the survey cannot see any more.
    sources = {*moving, *(unfinished.get("from_versions") or [])} - {to_version}
    facts = {
        "from_versions": sorted(sources) or [options.from_version or active.version],
        "to_version": to_version,
        "compromised": _judge_compromise(options, standing or {}, unfinished, found),
    }
    settled = active.version == to_version and not moving and not found.anomalies
    settled = settled and (standing is None or standing.get("state") == "complete")
    return Judged(
        plan=RotationPlan(to_version, facts, seen.pace, lease_s, options.settle_timeout),
        settled=settled,
        before=before,
        total=found.total,
        standing_state=str((standing or {}).get("state") or "none"),
        ranges=seen.cuts.ranges(),
        sample=found.sample,
    )


def _judge_compromise(
    options: Options, standing: Mapping[str, Any], unfinished: Mapping[str, Any], found: Survey
) -> bool:
    """Return whether this run re-seals: asked for, or begun so by an earlier run that was not finished.

    Raises OpsError rotate.not_resealed when envelopes stand under the target with the data keys they always had: a
    re-wrap protects nobody whose KEK was copied, and calling it done would be a false success.
    """
    if unfinished.get("compromised"):
        return True
    if options.compromised and not standing.get("compromised") and found.by_version[options.to_version]:
        raise OpsError(
            f"{found.by_version[options.to_version]} envelope(s) are under KEK version {options.to_version} and "
            "were not re-sealed: they may keep the data keys that the compromised KEK protected",
            code="rotate.not_resealed",
            hint="make a new KEK version and rotate to that one with `compromised: true`",
        )
    return options.compromised


def _batch_size(options: Options, lease_s: float) -> int:
    """Return documents a batch, few enough that the pause of a small HSM share is over long before the lease."""
    if not options.hsm_share:
        return options.batch_size
    return max(1, min(options.batch_size, int(options.hsm_share * lease_s) // (3 * CALLS_PER_ENVELOPE)))


def _judge_budget(installation: Installation, found: Survey, to_version: int, warn: Callable[[str], None]) -> None:
    """Raises OpsError budget.exhausted (T12: the larger of what was counted and what is found)."""
    row = installation.keystore.rows.get(to_version)
    used = gcm_budget.spent(row.invocations if row else 0, found.by_version[to_version])
    warning = gcm_budget.judge(to_version, used, found.total - found.by_version[to_version])
    if warning:
        warn(warning)


def _gate(installation: Installation, options: Options) -> None:
    """Raises OpsError fleet.* unless every live process has the target loaded: a reader without it would go blind."""
    refused = refusal(judged_fleet(installation, options.to_version), allow_empty_fleet=options.allow_empty_fleet)
    if refused is not None:
        raise refused


def _preflight(installation: Installation, options: Options, found: Survey) -> Active:
    """Return the active version. Raises OpsError before anything is written."""
    keys, loaded = installation.keystore, installation.provider.versions()
    row = keys.rows.get(options.to_version)
    if row is not None and row.removed:
        raise OpsError(
            f"KEK version {options.to_version} was removed; the database refuses every write under it",
            code="rotate.target_removed",
            hint=f"make a new version, {max(keys.rows) + 1}, and rotate to that one",
        )
    if options.to_version not in loaded:
        raise OpsError(
            f"KEK version {options.to_version} is not loaded; loaded: {list(loaded)}",
            code="rotate.target_not_loaded",
            hint="env: add its line to secrets.env on every host and restart; pkcs11: run kek_pkcs11_init for it",
        )
    active = keys.active or Active(max(found.by_version, default=min(loaded)), 0)
    if options.to_version < active.version and not options.allow_downgrade:
        raise OpsError(
            f"version {options.to_version} is lower than the active version {active.version}",
            code="rotate.downgrade",
            hint="rotate to a newer version, or set `allow_downgrade: true`",
        )
    others = sorted(set(found.by_version) - {options.to_version, options.from_version})
    if options.from_version is not None and others:
        raise OpsError(
            f"envelopes also name KEK version(s) {others}, besides {options.from_version} and {options.to_version}",
            code="rotate.other_versions",
            hint="leave from_version out: every other version moves in one run",
        )
    return active
