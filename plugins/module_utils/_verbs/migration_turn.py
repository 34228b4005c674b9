# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Verb migration_turn: one migration at a time has a database, and the others are told which (ADR-0031).

A run of ansible-playbook holds it from stage to stage: it is taken once, kept before each stage and each way back, and
given back at the end. A run that ended without that loses it to the clock, or to a run that names it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from .._domain.errors import OpsError
from .._domain.result import Result
from .._domain.settings import Settings
from .._installation.installation import open_database
from .._store import migration_turns
from .._store.connection import Store
from .._store.migration_turns import Turn

TAKEN, KEPT, GIVEN_BACK = "taken", "kept", "given_back"


@dataclass(frozen=True, slots=True)
class Options:
    """state: TAKEN, KEPT or GIVEN_BACK. run, run_by: which run asks, and who runs it, as the action plugin says.

    token: what TAKEN returned, for the other two. expires_after: seconds. take_over: a run that has died.
    """

    run: str = ""
    run_by: Mapping[str, str] = field(default_factory=dict)
    state: str = TAKEN
    token: int = 0
    expires_after: int = 14400
    take_over: str = ""


def run(settings: Settings, options: Options, *, check: bool, warn: Callable[[str], None]) -> Result:
    """Take, keep or give back. Raises OpsError migration.held, .turn_lost, .options."""
    with open_database(settings) as store:
        if options.expires_after < 1 or not options.run:
            raise OpsError(
                f'expires_after is {options.expires_after} and run "{options.run}", expected seconds from 1 and a name',
                code="migration.options",
                hint="leave both out, or give more seconds than the longest stage of the migration takes",
            )
        before = migration_turns.read(store)
        if options.state == TAKEN:
            return _take(store, options, before, check=check)
        mine = before is not None and (before.run, before.token) == (options.run, options.token)
        if options.state == GIVEN_BACK:
            if mine and not check:
                migration_turns.give_back(store, options.run, options.token)
            return _result(before, changed=mine and before is not None and not before.expired, after={"run": ""})
        if not mine or not (check or _keep(store, options, options.token)):
            raise _lost(store, migration_turns.read(store))
        return _result(migration_turns.read(store), changed=False, after={"run": options.run})


def _keep(store: Store, options: Options, token: int) -> bool:
    return migration_turns.keep(store, options.run, token, lease_s=options.expires_after)


def _take(store: Store, options: Options, before: Turn | None, *, check: bool) -> Result:
    """Take the turn. One that this run has already is kept, as it is asked for twice in a row."""
    after = {"run": options.run}
    if before is not None and not before.expired:
        if before.run not in (options.run, options.take_over):
            raise _held(store, before)
        if before.run == options.run and (check or _keep(store, options, before.token)):
            return _result(before, changed=False, after=after)
    if check:
        return _result(before, changed=True, after=after)
    lease_s, over = options.expires_after, options.take_over
    turn = migration_turns.take(store, options.run, options.run_by, lease_s=lease_s, over=over)
    if turn.run != options.run:
        raise _held(store, turn)
    return _result(turn, changed=True, after=after, before=before)


def _result(turn: Turn | None, *, changed: bool, after: Mapping[str, object], before: Turn | None = None) -> Result:
    shown = before or turn
    had = {"run": "" if shown is None or shown.expired else shown.run}
    values = {"turn": None if turn is None else turn.as_result()}
    return Result(changed=changed, values=values, before=had, after=after if changed else had)


def _held(store: Store, turn: Turn) -> OpsError:
    by = turn.run_by
    return OpsError(
        f'database "{store.name}" is being migrated by another run, {_whose(turn)}, expected none',
        code="migration.held",
        hint=f"wait until it has ended; where it died, run it again as {by['user']} on {by['host']}, or anywhere after "
        f"{turn.expires_at}, or say {turn.run} in `take_over` (`migrate_take_over` of the role migrate)",
        retryable=True,
        holder=turn.as_result(),
    )


def _lost(store: Store, turn: Turn | None) -> OpsError:
    taken = "and nobody has it now" if turn is None or turn.expired else f"and now it is that of {_whose(turn)}"
    return OpsError(
        f'this run has lost its turn to migrate database "{store.name}", {taken}, expected to have it still',
        code="migration.turn_lost",
        hint="see what the other run did, then run it again; where a stage takes longer, raise `expires_after`",
        holder=None if turn is None else turn.as_result(),
    )


def _whose(turn: Turn) -> str:
    by = turn.run_by
    return f"run {turn.run} of {by['user']} on {by['host']} (process {by['pid']}) since {turn.since}"
