/* Copyright (c) 2026 the certautopilot.ops authors
 * GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
 * SPDX-License-Identifier: GPL-3.0-or-later
 *
 * A rotation from KEK version 1 to 2, its cancellation, and the removal of the version that is left. Two runs at once: a
 * leader and a helper, a leader and one that slept past its lease, or either and a removal. A service process writes all
 * the time, and may sleep between sealing and writing. README.md says how to read it; the blocks are named as in
 * migration.pml.
 */
#ifndef R
#define R 2        /* records, each a range and a collection of its own */
#endif
#ifndef FAULTS
#define FAULTS 2
#endif
/* STOPS: runs may end before the swap, as their operator asks. ROTATIONS_ONLY: nobody cancels or removes anything. */
#define PASSES 1   /* before the swap, as PASSES_AT_MOST */

/* ---- the database ------------------------------------------------------------------------------------------------ */
byte ver[R];       /* the version that a record's envelope is under */
bit fence[R * 3];  /* FENCED(v, r): the server refuses this version in this collection */
#define FENCED(v, r) fence[(v) * R + (r)]
bit removed[3];    /* the version's row says so, and its key may be gone */
byte current = 1, epoch = 1;

mtype = { NONE, PLANNING, REWRAPPING, VERIFYING, READY, SWAPPING, SETTLING, COMPLETE, CANCELLED };
mtype state[3];    /* of the rotation to version 1 or 2 */
byte token[3];     /* of the leader who wrote there last */
byte latest;       /* the rotation that moved last */
#define ENDED(v) (state[v] == NONE || state[v] == COMPLETE || state[v] == CANCELLED)

byte lease;        /* 1 + the run that holds it, 0 for nobody */
bit lease_over;
byte newest_token;
byte purpose;      /* the version that its holder rotates to, 0 for a removal */

byte plan_to;      /* whose ranges are laid, 0 for none */
bit revoked;
bit done[R];
byte owner[R];     /* 1 + the run that has claimed the range */
bit claim_over[R];

/* ---- the runs and the service ------------------------------------------------------------------------------------ */
bit touched[2];    /* the record that a run has read was written by somebody else since */
byte reading[2];   /* 1 + the record that a run is about to write, 0 for none */
bit alive[2], killed[2];
byte mine[2], my_epoch[2]; /* the token that a run got, and the epoch that it read */
byte faults;
bit calm;          /* nothing has gone wrong since the run began, and no other one is at work */
byte writes_with = 1; /* what the service's heartbeat says */
bit sleeps;        /* the service's heartbeat is too old to count */

/* ---- what must hold ---------------------------------------------------------------------------------------------- */
bit left_under_removed, removed_and_active;                   /* in every state */
bit lost_write, complete_and_left, did_not_end;               /* where it could happen */
#ifdef ONLY
#define ASKED(name) (ONLY == name)
#define LEFT_UNDER_REMOVED 1
#define REMOVED_AND_ACTIVE 2
#define LOST_WRITE 3
#define COMPLETE_AND_LEFT 4
#define DID_NOT_END 5
#else
#define ASKED(name) true
#endif
#define NEVER(name, NAME, bad) if :: ASKED(NAME) && (bad) -> name = 1; assert(!name) :: else fi
#if R == 1
#define LEFT(v) (ver[0] == v)
#define UNFINISHED (!done[0])
#define CLAIMED_BY_ANYBODY (CLAIMED(0))
#else
#define LEFT(v) (ver[0] == v || ver[1] == v)
#define UNFINISHED (!done[0] || !done[1])
#define CLAIMED_BY_ANYBODY (CLAIMED(0) || CLAIMED(1))
#endif
#define CLAIMED(r) (owner[r] != 0 && !done[r] && !claim_over[r])

proctype Always() {
end:
  if
  :: atomic { ASKED(LEFT_UNDER_REMOVED) && ((removed[1] && LEFT(1)) || (removed[2] && LEFT(2))) ->
       left_under_removed = 1; assert(!left_under_removed) }
  :: atomic { ASKED(REMOVED_AND_ACTIVE) && removed[current] ->
       removed_and_active = 1; assert(!removed_and_active) }
  fi
}

#define FAULT faults++; calm = 0
#define MAY_FAIL (faults < FAULTS)
#define SOMEBODY_WRITES(r) \
  if :: reading[0] == (r) + 1 -> touched[0] = 1 :: else fi; \
  if :: reading[1] == (r) + 1 -> touched[1] = 1 :: else fi

/* One process of the product: it follows the active version, seals, and writes. */
proctype Service() {
  byte sealed, r;    /* under which version, for which record; 0 for nothing */
end:
  do
  :: atomic { !sealed -> /* world: the service reads the active version, its heartbeat says so, and it seals */
       sealed = current; writes_with = current; sleeps = 0;
       if :: r = 0 :: r = R - 1 fi }
  :: atomic { sealed && !sleeps && MAY_FAIL -> /* world: it sleeps with what it sealed, longer than a heartbeat lives */
       FAULT; sleeps = 1 }
  :: atomic { sealed -> /* world: the service writes, unless the server refuses */
       if
       :: !FENCED(sealed, r) -> ver[r] = sealed; SOMEBODY_WRITES(r)
       :: else
       fi;
       sealed = 0; r = 0 }
  od
}

#define LOSES_ITS_CLAIMS(who) \
  if :: lease == who + 1 -> lease_over = 1 :: else fi; \
  r = 0; do :: r < R -> if :: owner[r] == who + 1 -> claim_over[r] = 1 :: else fi; r++ :: else -> break od; r = 0

proctype World() {
  byte r, who;
end:
  do
  :: atomic { MAY_FAIL && (alive[0] || alive[1]) -> /* world: a run sleeps longer than its leases last, or is killed */
       FAULT;
       if :: alive[0] -> who = 0 :: alive[1] -> who = 1 fi;
       LOSES_ITS_CLAIMS(who);
       if :: skip :: alive[who] = 0; killed[who] = 1; reading[who] = 0; touched[who] = 0; mine[who] = 0; my_epoch[who] = 0 fi;
       who = 0 }
  od
}

/* ---- a run ------------------------------------------------------------------------------------------------------- */
#define MINE (lease == me + 1)
/* Tokens only grow, and are only compared: a larger one than all is taken, and then those that nobody has are left out,
 * so that there are few states. An epoch is only compared for equality: the smallest one that nobody remembers will do. */
#define HAS_TOKEN(n) (token[1] == n || token[2] == n || mine[0] == n || mine[1] == n)
#define DOWN(variable, n) if :: variable > n -> variable-- :: else fi
inline takes_lease(me) {
  lease = me + 1; lease_over = 0;
  newest_token++; mine[me] = newest_token;
  n = 1;
  do
  :: n < newest_token && HAS_TOKEN(n) -> n++
  :: n < newest_token && !HAS_TOKEN(n) ->
       DOWN(token[1], n); DOWN(token[2], n); DOWN(mine[0], n); DOWN(mine[1], n); newest_token--
  :: else -> break
  od;
  n = 0
}
inline moves_epoch(me) {
  n = 1;
  do
  :: n == epoch || n == my_epoch[0] || n == my_epoch[1] -> n++
  :: else -> break
  od;
  epoch = n; my_epoch[me] = n; n = 0
}
#ifdef BROKEN_LEASE_NOT_CHECKED
#define GUARD skip
#define TAKEABLE true
#else
#define GUARD if :: MINE -> lease_over = 0 :: else -> goto over fi
#define TAKEABLE (lease == 0 || lease_over)
#endif
#define LEADS(v) (token[v] == mine[me])
#define MOVES(from, into) if :: state[to] == from && LEADS(to) -> state[to] = into; latest = to :: else -> goto over fi
#define FORGET_RANGES plan_to = 0; revoked = 0; r = 0; \
  do :: r < R -> done[r] = 1; owner[r] = 0; claim_over[r] = 0; r++ :: else -> break od; r = 0

/* A record is read, its new wrap made, the claim asked for, and then it is written if it still is as it was read. */
inline reads() {
  if
  :: ver[r] != to -> reading[me] = r + 1; touched[me] = 0
  :: else
  fi
}
inline writes() {
  if
#ifdef BROKEN_NO_COMPARE_AND_SET
  :: reading[me] != 0 && !FENCED(to, r) ->
#else
  :: reading[me] != 0 && !touched[me] && !FENCED(to, r) ->
#endif
       NEVER(lost_write, LOST_WRITE, touched[me]);
       ver[r] = to; reading[me] = 0; SOMEBODY_WRITES(r); moved = 1
  :: reading[me] != 0 && touched[me] -> moved = 1  /* a conflict: somebody else is at it, so the pass proves nothing */
  :: else
  fi;
  reading[me] = 0; touched[me] = 0
}

#define STARTS calm = (me == 0 && !alive[1]); alive[me] = 1
#define CAN_START (!alive[me] && !killed[me] && (me == 0 || alive[0]))

proctype Run(byte me) {
  byte to, r, n, my_current;
  mtype found;
  bit moved, left, follows, helps, passed, cancels, removes;
  byte rounds;

end:
idle:
  do
  :: atomic { CAN_START && !removed[2] && !(current == 2 && state[2] == COMPLETE && !LEFT(1)) -> /* operator: rotates to 2 */
       STARTS; to = 2; break }
#ifndef ROTATIONS_ONLY
  :: atomic { CAN_START && !ENDED(2) && current == 1 -> /* operator: cancels the rotation to 2 */
       STARTS; to = 1; cancels = 1; break }
  :: atomic { CAN_START && !removed[3 - current] && latest != 0 -> /* operator: removes the version that is left */
       STARTS; to = 3 - current; removes = 1; break }
#endif
  od;
  {
    if :: removes -> goto remove :: else fi;
asks:
    atomic { /* by: lead.acquire */
      if
      :: TAKEABLE -> takes_lease(me); purpose = to; goto leads
      :: else
      fi };
    if
    :: atomic { purpose == to && state[to] == REWRAPPING && token[to] == newest_token && plan_to == to -> /* by: lead.help */
         helps = 1; goto works }
    :: atomic { lease == 0 || lease_over -> goto asks }   /* it is waited for */
    :: atomic { purpose != to -> goto over }              /* ... unless it is held for something else */
    :: atomic { ENDED(to) && lease == 0 -> goto over }
    fi;

leads:
    atomic { /* by: lead.read_again */
      my_current = current; my_epoch[me] = epoch; found = state[to]; moved = 0; rounds = 0; passed = 0; left = 0;
      if
      :: removed[to] -> goto over
      :: to == 1 && (ENDED(2) || current != 1) -> goto over
      :: else
      fi;
      if
      :: ENDED(to) || found == PLANNING || token[3 - to] > token[to] || (found == SETTLING && current != to) -> found = NONE
      :: found == SWAPPING && current != to -> found = VERIFYING
      :: found == READY -> found = REWRAPPING
      :: else
      fi }
#ifndef BROKEN_NOT_FENCED_BEFORE
    atomic { /* by: lead.fence_swap */
      if
      :: state[3 - current] == SWAPPING ->
           GUARD;
           if :: current == my_current && epoch == my_epoch[me] -> moves_epoch(me) :: else -> goto over fi
      :: else
      fi }
#endif
    atomic { /* by: ranges.end_others */
      if :: plan_to != 0 && (found == NONE || plan_to != to) -> revoked = 1 :: else fi }
    atomic { !revoked || !CLAIMED_BY_ANYBODY -> /* by: ranges.wait */
      if :: revoked -> FORGET_RANGES :: else fi }
    if
    :: found == NONE ->
       atomic { /* by: plan.begin */
         if
         :: token[to] < mine[me] -> state[to] = PLANNING; token[to] = mine[me]; latest = to
         :: else -> goto over
         fi }
       atomic { /* by: plan.lay */
         GUARD; plan_to = to; revoked = 0; r = 0;
         do :: r < R -> done[r] = 0; owner[r] = 0; claim_over[r] = 0; r++ :: else -> break od; r = 0 }
       atomic { /* by: plan.laid */ found = 0; MOVES(PLANNING, REWRAPPING) }
       goto works
    :: else ->
       atomic { /* by: plan.take_up */
         GUARD;
         if
         :: token[to] < mine[me] && (state[to] == found || (state[to] == SWAPPING && found == VERIFYING) ||
                                     (state[to] == READY && found == REWRAPPING)) ->
              state[to] = found; token[to] = mine[me]; latest = to
         :: else -> goto over
         fi }
    fi;
    if
    :: found == REWRAPPING -> found = 0; goto works
    :: found == VERIFYING -> found = 0; goto verifies
    :: found == SWAPPING -> found = 0; goto swaps
    :: found == SETTLING -> found = 0; goto settles
    fi;

works: /* the leader and whoever helps */
    do
    :: atomic { plan_to != to || revoked || !UNFINISHED -> break }
    :: atomic { plan_to == to && !revoked && UNFINISHED -> /* by: work.claim */
         if
         :: !done[0] && (owner[0] == 0 || claim_over[0]) -> r = 0
#if R > 1
         :: !done[1] && (owner[1] == 0 || claim_over[1]) -> r = 1
#endif
         :: else -> goto waits
         fi;
         owner[r] = me + 1; claim_over[r] = 0; reads() }
       atomic { /* by: work.guard */
         if :: owner[r] == me + 1 && !revoked -> claim_over[r] = 0 :: else -> goto gives_back fi }
       atomic { /* by: work.write */ writes() }
       atomic { /* by: work.finish */
         if :: owner[r] == me + 1 && plan_to == to -> done[r] = 1; owner[r] = 0; claim_over[r] = 0 :: else fi;
         goto works }
gives_back:
       atomic { /* by: work.give_back */
         if :: owner[r] == me + 1 -> claim_over[r] = 1 :: else fi;
         reading[me] = 0; touched[me] = 0 }
    od;
    if
    :: helps -> helps = 0; goto asks
    :: !helps && (passed || rounds > 0 || plan_to != to) -> goto passes   /* nothing is left to share */
    :: !helps && !(passed || rounds > 0 || plan_to != to) ->
       atomic { /* by: leader.rewrapped */ GUARD; MOVES(REWRAPPING, VERIFYING) }
       goto verifies
    fi;
waits:
    if
    :: helps -> helps = 0; goto asks
    :: atomic { !helps && (!UNFINISHED || revoked || !CLAIMED_BY_ANYBODY || lease != me + 1) -> /* by: leader.wait */
         GUARD; goto works }
#if R > 1
    :: atomic { !helps && ((!done[0] && !CLAIMED(0)) || (!done[1] && !CLAIMED(1))) -> goto works }
#endif
    fi;

passes:
    r = 0;
    do
    :: r < R ->
       atomic { /* by: pass.read */ reads(); GUARD }
       atomic { /* by: pass.write */ writes() }
       r++
    :: else -> break
    od;
    r = 0; passed = 1;
    if :: state[to] == SETTLING -> goto settled :: else fi;
    atomic { /* by: leader.rewrapped */ GUARD; MOVES(REWRAPPING, VERIFYING) }

verifies:
    left = 0; r = 0;
    do
    :: r < R -> atomic { if :: ver[r] != to -> left = 1 :: else fi; r++ }
    :: else -> break
    od;
    r = 0;
    if
    :: left && !(rounds >= PASSES && passed) ->
       atomic { /* by: leader.verified_and_left */ left = 0; moved = 0; rounds = (rounds < PASSES -> rounds + 1 : rounds); MOVES(VERIFYING, REWRAPPING) }
       goto passes
#ifdef STOPS
    :: atomic { !left && current != to -> /* by: leader.stops */ /* `stop_before: swap`: as its operator asked */
         calm = 0; MOVES(VERIFYING, READY); goto over }
#endif
    :: !left || (rounds >= PASSES && passed) ->
       atomic { /* by: leader.verified */ left = 0; passed = 0; rounds = 0; moved = 0; MOVES(VERIFYING, SWAPPING) }
    fi;

swaps:
    if
    :: my_current != to ->
       atomic { /* by: leader.guard_swap */ GUARD }
       atomic { /* by: leader.swap */
         if
         :: current == my_current && epoch == my_epoch[me] -> current = to; my_current = to; moves_epoch(me)
         :: else -> goto over
         fi }
    :: else
    fi;
    atomic { /* by: leader.swapped */ my_current = 0; my_epoch[me] = 0; MOVES(SWAPPING, SETTLING) }

settles:
    atomic { /* by: settle.look */ my_current = 0; my_epoch[me] = 0; GUARD; moved = 0;
#ifdef BROKEN_NOT_SETTLED
      follows = 1 }
#else
      follows = (sleeps || writes_with == to) }
#endif
    goto passes;
settled:
    if
    :: follows && !moved ->
       atomic { /* by: settle.complete */
         MOVES(SETTLING, COMPLETE);
         NEVER(complete_and_left, COMPLETE_AND_LEFT, faults == 0 && LEFT(3 - to)) }
       atomic { /* by: ranges.clear */ if :: plan_to == to -> FORGET_RANGES :: else fi }
       if
       :: cancels -> atomic { /* by: cancel.record */
            GUARD;
            if :: !ENDED(2) && token[2] < mine[me] -> state[2] = CANCELLED; latest = 2 :: else fi }
       :: else
       fi;
       goto over
    :: else -> goto settles
    fi;

    /* ---- kek_remove: `to` is the version that is removed ---- */
remove:
    atomic { /* by: remove.refuse */
      if
      :: current != to && ENDED(latest) && !(writes_with == to && !sleeps) && !LEFT(to)
      :: else -> goto over
      fi }
    atomic { /* by: remove.acquire */
      if
      :: TAKEABLE -> takes_lease(me); purpose = 0
      :: else -> goto over
      fi }
    atomic { /* by: remove.read_again */
#ifndef BROKEN_REMOVAL_READS_ONCE
      if
      :: current != to && ENDED(latest) && !(writes_with == to && !sleeps) && !removed[to]
      :: else -> goto over
      fi;
#endif
      GUARD }
#ifndef BROKEN_NO_FENCE
    r = 0;
    do
    :: r < R -> atomic { /* by: remove.fence */ FENCED(to, r) = 1; r++ }
    :: else -> break
    od;
#endif
#ifndef BROKEN_NOT_SCANNED_AGAIN
    r = 0;
    do
    :: r < R -> atomic { /* by: remove.scan */ if :: ver[r] == to -> goto over :: else -> r++ fi }
    :: else -> break
    od;
#endif
    r = 0;
    atomic { /* by: remove.mark */ GUARD; removed[to] = 1 }

over:
    atomic { /* by: run.ends */
      /* A run that nothing disturbed has ended what it was to end. */
      NEVER(did_not_end, DID_NOT_END, calm && to == 2 && !removes && !removed[2] && state[2] != COMPLETE);
      NEVER(did_not_end, DID_NOT_END, calm && cancels && !ENDED(2));
      if :: MINE -> lease = 0; lease_over = 0; purpose = 0 :: else fi;
      alive[me] = 0;
      goto forgets }
  } unless { atomic { killed[me] -> killed[me] = 0 } }
forgets:
  atomic {
    to = 0; r = 0; my_current = 0; found = 0; moved = 0; left = 0; follows = 0; helps = 0;
    passed = 0; cancels = 0; removes = 0; rounds = 0; reading[me] = 0; touched[me] = 0; mine[me] = 0; my_epoch[me] = 0;
    goto idle }
}

init {
  atomic {
    ver[0] = 1; ver[R - 1] = 1; done[0] = 1; done[R - 1] = 1;
    state[1] = NONE; state[2] = NONE;
    run Always(); run World(); run Service(); run Run(0); run Run(1)
  }
}

#ifdef ROTATIONS_ONLY
/* Somebody runs it again and again, everybody gets a turn sometimes, and a bounded number of things go wrong. */
ltl ends { <> (state[2] == COMPLETE) }
#endif
