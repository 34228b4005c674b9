# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The states of a rotation: what each is for, and which move follows which. Pure.

Each move is one write that is guarded by the state it leaves and by the token of the leader's lease, so a leader that
was overtaken moves nothing. A run that is killed anywhere leaves one of these states; the next one goes on from it.

 planning    The leader has surveyed the database and lays ranges. WHY: these are many writes. Who joined before the
             last of them would take a part of the work for all of it. What was interrupted here is planned anew.
 rewrapping  Everybody claims ranges and re-wraps them, then the leader alone passes over what came meanwhile. WHY apart
             from the rest: it is the only work that can be shared, taken up anywhere and taken back.
 verifying   Everything is walked once more. WHY: what moved was selected by queries, and a query finds neither damage
             nor an envelope where nobody listed one. After the swap it would be too late for both.
 ready       Everything is under the new version and verified; `stop_before: swap` ends here. WHY: it is the last state
             that can be taken back, so it is where an operator may want to look around, or to wait for a window.
 swapping    The active version is about to change. WHY written before it: a leader that dies around the swap leaves a
             record that says so, and the keystore says whether it came to pass.
 settling    The new version is active, and slow processes still seal under the old one. WHY: what they seal is
             re-wrapped until every live process follows; before that, nobody may retire the old version.
 complete    Every live process writes with the version, and nothing is under another one.
 cancelled   Every envelope is under the active version again, as before the rotation.

rewrapping and verifying alternate while writers seal under the old version, at most PASSES_AT_MOST times. What was
ready is passed over and verified again before it is swapped, because time has passed. An unfinished rotation is planned
anew when its plan does not fit any more: other sealed fields, a compromise learnt of, another version active.
"""

from __future__ import annotations

from enum import StrEnum


class State(StrEnum):
    """A state as the record of the rotation keeps it."""

    PLANNING = "planning"
    REWRAPPING = "rewrapping"
    VERIFYING = "verifying"
    READY = "ready"
    SWAPPING = "swapping"
    SETTLING = "settling"
    COMPLETE = "complete"
    CANCELLED = "cancelled"

    @property
    def ended(self) -> bool:
        return self in (State.COMPLETE, State.CANCELLED)

    @property
    def shown(self) -> State:
        """The state as a module's result shows it: those that a run only passes through are part of a longer one."""
        return _SHOWN.get(self, self)


_SHOWN = {
    State.PLANNING: State.REWRAPPING,
    State.VERIFYING: State.REWRAPPING,
    State.SWAPPING: State.SETTLING,
}

# Besides these, `begin` moves every state to planning, and an unfinished rotation whose version is not active can be
# cancelled.
MOVES: dict[State, tuple[State, ...]] = {
    State.PLANNING: (State.REWRAPPING,),
    State.REWRAPPING: (State.VERIFYING,),
    State.VERIFYING: (State.REWRAPPING, State.READY, State.SWAPPING),
    State.READY: (State.REWRAPPING,),
    State.SWAPPING: (State.SETTLING, State.VERIFYING),
    State.SETTLING: (State.COMPLETE,),
    State.COMPLETE: (),
    State.CANCELLED: (),
}

# WHY bounded: writers seal under the old version until it is swapped, so a busy database never comes to rest before;
# what they leave is drained while the rotation settles.
PASSES_AT_MOST = 4
