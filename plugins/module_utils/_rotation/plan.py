# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The plan of a rotation: drawn from one survey of the database by the process that leads, under its lease.

Reads only. Before the first write every envelope is in the catalogue, the target's key is loaded here and in every live
process, and its GCM budget suffices. What is drawn here is written by `beginning.py` and read by everybody else.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass

from .._domain import gcm_budget
from .._domain.catalogue import Catalogue, Found
from .._domain.envelope import Envelope
from .._domain.errors import OpsError
from .._domain.fleet_gate import refusal
from .._domain.range_cuts import Cuts, Range
from .._domain.rotation import Plan, Rotation
from .._domain.rotation_states import State
from .._installation import survey as surveys
from .._installation.fleet_readiness import readiness
from .._installation.installation import Installation
from .._installation.survey import Survey
from .._store import keystore
from .._store.connection import Store
from .._store.keystore import Active
from .options import Options

RANGE_ENVELOPES = 2000  # to move, in a range that one process claims: some seconds of work


@dataclass(frozen=True, slots=True)
class Draft:
    """A plan that nobody has written yet, and what only who writes it needs.

    ranges: cover what is under other versions. sample: shows the layout, which is looked for when the plan is written.
    """

    plan: Plan
    ranges: list[Range]
    sample: list[tuple[Found, Envelope]]


def draw(installation: Installation, options: Options, record: Rotation | None, *, batch_size: int) -> Draft:
    """Return the plan for what a survey finds. record: the rotation's record, None where there is none.

    Raises OpsError catalogue.outside, rotate.downgrade, rotate.other_versions, rotate.not_resealed.
    """
    cuts = Cuts(options.to_version, stride=max(batch_size, RANGE_ENVELOPES))
    found = surveys.take(installation.store, installation.catalogue, each=cuts.note)
    found.require_catalogued()
    active = installation.keystore.active
    if active is None:
        active = Active(max(found.by_version, default=min(installation.provider.versions())), 0)
    require_no_downgrade(options, active)
    unfinished = record if record is not None and not record.state.ended else None
    # WHY also those of the earlier run: it emptied versions that the survey cannot see any more.
    sources = {*found.by_version, *(unfinished.from_versions if unfinished else ())} - {options.to_version}
    require_only_source(options, {*found.by_version} - {options.to_version})
    plan = Plan(
        to_version=options.to_version,
        from_versions=tuple(sorted(sources)) or (options.from_version or active.version,),
        compromised=_reseals(options, record, unfinished, found),
        active=active.version,
        envelopes=dict(found.by_version),
        catalogue=digest_of(installation.catalogue),
        bare=found.bare(installation.catalogue),
    )
    return Draft(plan, cuts.ranges(), found.sample)


def fits(plan: Plan, installation: Installation, options: Options) -> bool:
    """Return whether a plan of an unfinished rotation can be followed as it is.

    Otherwise a new one is drawn: for a compromise that was learnt of later, for other sealed fields, and where another
    rotation changed the active version meanwhile.
    """
    active = installation.keystore.active
    return (
        (plan.compromised or not options.compromised)
        and plan.catalogue == digest_of(installation.catalogue)
        and active is not None
        and active.version in (plan.active, plan.to_version)
    )


def digest_of(catalogue: Catalogue) -> str:
    """Return which fields a catalogue knows, as SHA-256 in hex."""
    fields = [[name, paths] for name, paths in catalogue.as_listed().items()]
    return hashlib.sha256(json.dumps(fields).encode()).hexdigest()


def _reseals(options: Options, record: Rotation | None, unfinished: Rotation | None, found: Survey) -> bool:
    """Return whether payloads are sealed anew: asked for, or begun so by an earlier run that was not finished."""
    if unfinished is not None and unfinished.compromised:
        return True
    if options.compromised and not (record is not None and record.compromised):
        require_resealable(options, found)
    return options.compromised


def require_resealable(options: Options, found: Survey) -> None:
    """Raises OpsError rotate.not_resealed when envelopes are under the target with the data keys they always had.

    WHY: a re-wrap protects nobody whose KEK was copied, and calling it done would be a false success.
    """
    if found.by_version[options.to_version]:
        raise OpsError(
            f"{found.by_version[options.to_version]} envelope(s) are under KEK version {options.to_version} and "
            "were not re-sealed: they may keep the data keys that the compromised KEK protected",
            code="rotate.not_resealed",
            hint="make a new KEK version and rotate to that one with `compromised: true`",
        )


def require_loaded(installation: Installation, options: Options) -> None:
    """Raises OpsError rotate.target_removed, rotate.target_not_loaded."""
    rows, loaded = installation.keystore.rows, installation.provider.versions()
    if options.to_version in rows and rows[options.to_version].removed:
        raise OpsError(
            f"KEK version {options.to_version} was removed; the database refuses every write under it",
            code="rotate.target_removed",
            hint=f"make a new version, {max(rows) + 1}, and rotate to that one",
        )
    if options.to_version not in loaded:
        raise OpsError(
            f"KEK version {options.to_version} is not loaded; loaded: {list(loaded)}",
            code="rotate.target_not_loaded",
            hint="the token does not hold its key, and nothing needs it: make the next version, retire this one by "
            "kek_remove, or name the token that holds it"
            if options.to_version in installation.absent
            else "env: add its line to secrets.env on every host and restart; pkcs11: run kek_pkcs11_init for it",
        )


def require_no_downgrade(options: Options, active: Active) -> None:
    """Raises OpsError rotate.downgrade."""
    if options.to_version < active.version and not options.allow_downgrade:
        raise OpsError(
            f"version {options.to_version} is lower than the active version {active.version}",
            code="rotate.downgrade",
            hint="rotate to a newer version, or set `allow_downgrade: true`",
        )


def require_only_source(options: Options, sources: set[int]) -> None:
    """Raises OpsError rotate.other_versions when a run names its source and there are others."""
    others = sorted(sources - {options.from_version})
    if options.from_version is not None and others:
        raise OpsError(
            f"envelopes also name KEK version(s) {others}, besides {options.from_version} and {options.to_version}",
            code="rotate.other_versions",
            hint="leave from_version out: every other version moves in one run",
        )


def require_fleet(installation: Installation, options: Options) -> None:
    """Raises OpsError fleet.* unless every live process has the target loaded: a reader without it would go blind."""
    refused = refusal(readiness(installation, options.to_version), allow_empty_fleet=options.allow_empty_fleet)
    if refused is not None:
        raise refused


def require_budget(
    installation: Installation, to_version: int, *, there: int, planned: int, warn: Callable[[str], None]
) -> None:
    """Raises OpsError budget.exhausted (T12: the larger of what was counted and what is found).

    there: envelopes under the version. planned: wraps still to be made.
    """
    row = installation.keystore.rows.get(to_version)
    used = gcm_budget.spent(row.invocations if row else 0, there)
    warning = gcm_budget.judge(to_version, used, planned)
    if warning:
        warn(warning)


class _SomethingLeft(Exception):
    """Ends a survey early: there is work."""


def nothing_left(store: Store, catalogue: Catalogue, options: Options, since: Rotation | None) -> Survey | None:
    """Return a survey that shows a rotation to be where it is meant to end; None when a leader has to look at it.

    since: the rotation's record. WHY without keys and lease: who has nothing to do must not log in to the token, nor
    write that it does (T20). Raises OpsError catalogue.outside, rotate.not_resealed.
    """
    active = keystore.read(store).active
    state = since.state if since is not None else State.COMPLETE
    if active is None or not ends_in(state, options, swapped=active.version == options.to_version):
        return None

    def each(_found: Found, envelope: Envelope) -> None:
        if envelope.kek_version != options.to_version:
            raise _SomethingLeft

    try:
        found = surveys.take(store, catalogue, each=each)
    except _SomethingLeft:
        return None
    found.require_catalogued()
    if found.anomalies:
        return None
    if options.compromised and not (since is not None and since.compromised):
        require_resealable(options, found)
    return found


def ends_in(state: State, options: Options, *, swapped: bool) -> bool:
    """Return whether a run with these options would end in this state."""
    if swapped:
        return state is State.COMPLETE
    return state is State.READY and options.stops_before_swap
