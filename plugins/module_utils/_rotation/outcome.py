# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a rotation returns: counts, failures, what must be reissued, and the errors of one that is not done."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from .._domain import exposure
from .._domain.catalogue import Catalogue
from .._domain.errors import OpsError
from .._domain.result import Result
from .._domain.rotation import Plan, Rotation, Share, by_version
from .._domain.rotation_states import State
from .._domain.values import JsonObject
from .._domain.wrap_proof import Proof
from .._installation.sealing import Failure
from .._installation.survey import Survey
from .._store import records
from .._store.connection import Store
from .options import Options
from .plan import Draft
from .shared_work import Mine

FAILURES_LISTED = 1000
REISSUE_LISTED = 1000


@dataclass(frozen=True, slots=True)
class Outcome:
    """A rotation as modules show it. rewrapped, conflicts, proof, retries: of this run, all its slices together.

    state: None where there is no rotation. proof, retries: None where this run could not make a wrap, because there was
    nothing to do or because it was a check.
    """

    name: str
    state: State | None
    from_versions: tuple[int, ...]
    to_version: int
    compromised: bool
    rewrapped: int
    remaining: int
    conflicts: int = 0
    failures: tuple[Failure, ...] = ()
    proof: JsonObject | None = None
    retries: int | None = None

    @classmethod
    def of_plan(
        cls,
        plan: Plan,
        state: State,
        remaining: int,
        share: Share,
        *,
        prove_wraps: str,
        failures: Iterable[Failure] = (),
    ) -> Outcome:
        """Return the outcome of a run that took part in a rotation. prove_wraps: one of wrap_proof.MODES."""
        proof = Proof(prove_wraps)
        proof.made, proof.opened = share.made, share.opened
        return cls(
            name=plan.name,
            state=state,
            from_versions=plan.from_versions,
            to_version=plan.to_version,
            compromised=plan.compromised,
            rewrapped=share.rewrapped,
            remaining=remaining,
            conflicts=share.conflicts,
            failures=tuple(failures),
            proof=proof.as_result(),
            retries=share.retries,
        )

    def as_result(self) -> JsonObject:
        shown: JsonObject = {
            "id": self.name,
            "state": str(self.state or "none"),
            "from_versions": list(self.from_versions),
            "to_version": self.to_version,
            "compromised": self.compromised,
            "rewrapped": self.rewrapped,
            "remaining": self.remaining,
            "conflicts": self.conflicts,
            "failures": [failure.as_result() for failure in self.failures[:FAILURES_LISTED]],
        }
        if self.proof is not None:
            shown |= {"proof": self.proof, "retries": self.retries}
        return shown


def rotation_of(result: Result) -> JsonObject:
    """Return what a result of this verb says about the rotation: `Outcome.as_result`."""
    shown = result.values["rotation"]
    return dict(shown) if isinstance(shown, Mapping) else {}


def failures_of(record: Rotation) -> dict[str, Failure]:
    """Return what could not move before, by place, as the record lists it."""
    return {
        failure["place"]: Failure(failure["place"], failure["code"], failure["reason"]) for failure in record.failures
    }


def nothing_to_do(options: Options, since: Rotation | None, found: Survey) -> Result:
    """Return the result of a run that finds a rotation where it is meant to end. since: its record. found: a survey.

    The last slice of a run may find that: another host ended the rotation. Then it tells what the run did before.
    """
    share = since.share(options.slice_of) if since is not None and options.slice_of else Share()
    if since is not None and since.plan is not None and share != Share():
        return ended_elsewhere(since, since.plan, options.prove_wraps, share)
    active = options.to_version
    if since is not None and since.plan is not None and since.state is State.READY:
        active = since.plan.active
    outcome = Outcome(
        name=options.name,
        state=State.COMPLETE if since is None else since.state,
        from_versions=(since.from_versions if since is not None else ()) or (options.from_version or active,),
        to_version=options.to_version,
        compromised=options.compromised if since is None else since.compromised,
        rewrapped=0,
        remaining=0,
    )
    stands: JsonObject = {"active": active, "envelopes": by_version(found.by_version)}
    return Result(changed=False, values={"rotation": outcome.as_result()}, before=stands, after=stands)


def predicted(draft: Draft, options: Options) -> Result:
    """Return what a run would do, for check mode."""
    plan = draft.plan
    stops = options.stops_before_swap and plan.active != plan.to_version
    state = State.READY if stops else State.COMPLETE
    outcome = Outcome(
        name=plan.name,
        state=state,
        from_versions=plan.from_versions,
        to_version=plan.to_version,
        compromised=plan.compromised,
        rewrapped=plan.total - plan.at_target,
        remaining=0,
    )
    after = plan.after(plan.active if stops else plan.to_version, 0, plan.total)
    return Result(changed=True, values={"rotation": outcome.as_result()}, before=plan.before, after=after)


def ended_elsewhere(record: Rotation, plan: Plan, prove_wraps: str, share: Share) -> Result:
    """Return the result of a run that took part in a rotation which another process brought to its end."""
    outcome = Outcome.of_plan(plan, record.state, 0, share, prove_wraps=prove_wraps)
    active = plan.active if record.state is State.READY else plan.to_version
    return Result(
        changed=share.rewrapped > 0,
        values={"rotation": outcome.as_result()},
        before=plan.before,
        after=plan.after(active, 0, record.total),
    )


def out_of_time(record: Rotation | None, options: Options, mine: Mine, retries: int) -> Result:
    """Return the result of a helper whose time was over first.

    Raises OpsError rotate.incomplete for its failures, rotate.fenced where the plan is gone that it helped with.
    record: the rotation's record. retries: of the helper's provider.
    """
    plan = record.plan if record is not None else None
    if record is None or plan is None:
        raise fenced(options.name)
    state, share = record.state.shown, mine.share(retries)
    failures = mine.progress.failures.values()
    outcome = Outcome.of_plan(plan, state, record.remaining, share, prove_wraps=mine.proof.mode, failures=failures)
    if failures:
        raise incomplete(outcome, swapped=state in (State.SETTLING, State.COMPLETE))
    active = plan.active if state in (State.REWRAPPING, State.READY) else plan.to_version
    return Result(
        changed=share.rewrapped > 0,
        values={"rotation": outcome.as_result()},
        before=plan.before,
        after=plan.after(active, record.remaining, record.total),
    )


def with_reissue_list(result: Result, record: Rotation | None, store: Store, catalogue: Catalogue) -> Result:
    """Return a result with the list of what must be reissued, where the rotation is a compromised one and complete.

    WHY whoever finds it so: a run that dies after it said complete has told nobody.
    """
    if record is None or not record.compromised or record.state is not State.COMPLETE:
        return result
    rotation = {**rotation_of(result), **reissue_list(store, catalogue)}
    return replace(result, values={**result.values, "rotation": rotation})


def reissue_list(store: Store, catalogue: Catalogue) -> JsonObject:
    """Return {reissue, reissue_total}: every secret that was under a compromised KEK, most exposed and oldest first."""
    places: list[tuple[int, str, str, str]] = []
    total = 0
    for collection in sorted(catalogue.collections(), key=exposure.rank):
        mine = []
        for document in records.stream(store, collection):
            since = str(document.get("created_at") or "")
            mine += [(since, found.place) for found in catalogue.envelopes(collection, document)]
        total += len(mine)
        room = REISSUE_LISTED - len(places)
        action = exposure.action(collection)
        places += [(exposure.rank(collection), since, place, action) for since, place in sorted(mine)[:room]]
    return {
        "reissue": [{"place": place, "action": act} for _rank, _since, place, act in places],
        "reissue_total": total,
    }


def incomplete(outcome: Outcome, *, swapped: bool) -> OpsError:
    """Return the failure of a rotation that had to leave envelopes behind."""
    first = outcome.failures[0]
    active = "is active already" if swapped else "was not made active"
    return OpsError(
        f"{len(outcome.failures)} envelope(s) could not be re-wrapped, {outcome.rewrapped} were; the first: "
        f"{first.place}: {first.reason}",
        code="rotate.incomplete",
        hint=f"repair or restore the listed records and run it again; the new version {active}",
        rotation=outcome.as_result(),
        changed=outcome.rewrapped > 0 or swapped,
    )


def not_settled(outcome: Outcome, behind: tuple[tuple[str, str], ...]) -> OpsError:
    """Return the failure of a rotation that live processes do not follow yet."""
    listed = "; ".join(f"{process} {reason}" for process, reason in behind[:10])
    return OpsError(
        f"the version is active but {len(behind)} live process(es) still write with another: {listed}",
        code="rotate.not_settled",
        hint="run it again when they have followed (heartbeats come every 30 s), or restart them",
        retryable=True,
        rotation=outcome.as_result(),
        changed=True,
    )


def fenced(name: str) -> OpsError:
    """Return the failure of a leader whose lease went to another one."""
    return OpsError(
        f'rotation "{name}" was taken over by another run',
        code="rotate.fenced",
        hint="that run goes on; watch it with kek_info",
        retryable=True,
    )


def swap_lost() -> OpsError:
    """Return the failure of a leader that found another version active than it had read."""
    return OpsError(
        "the active version was changed by another run",
        code="rotate.swap_lost",
        hint="look at kek_info, then run it again",
        retryable=True,
    )
