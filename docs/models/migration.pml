/* Copyright (c) 2026 the certautopilot.ops authors
 * GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
 * SPDX-License-Identifier: GPL-3.0-or-later
 *
 * A migration: two sides of N hosts, a controller that may die at any step or be started twice, hosts that lose power or
 * the network, the return switch of each source host. README.md beside this file says how to read it and what is left out.
 *
 * Every change of what the processes share is in a block that says who makes it:
 *   by: NAME          a task or function of ours; transitions.yml says which
 *   world: WORDS      power, network, time, hands
 *   operator: WORDS   whoever runs the playbook
 * BROKEN_...: a rule of the protocol is left out, and the checker must find what comes of it. LIMIT_...: something that
 * the protocol does not withstand. CURE_...: what would make it. checks.yml lists them, with the assertion that fails.
 */
#ifndef N
#define N 2        /* hosts of each side */
#endif
#ifndef FAULTS
#define FAULTS 2   /* how much goes wrong in one history, at most; the playbook may be run as often as anybody likes */
#endif

/* ---- hosts: 0 to N - 1 are the source, the others the destination ------------------------------------------------ */
#define ALL (2 * N)
#define SOURCE(h) ((h) < N)
#define UP 0       /* it answers */
#define GONE 1     /* it does not answer and goes on working: the network is cut */
#define OFF 2      /* it has no power; sooner or later it boots */
byte up[ALL];
bit runs[ALL];     /* the unit runs: a scheduler is at work */
bit boots[ALL];    /* the unit is enabled: it starts at boot */
bit retired[ALL];  /* retired by us: the unit does not start, whoever asks */
bit sick[ALL];     /* of destinations: the unit runs and never becomes healthy */
bit at_work[ALL];  /* a module of ours is in the middle of its steps here */
bit armed[N];      /* the return switch, a transient timer: it is gone when it fired, and a boot forgets it */
bit on_its_way[N]; /* it fired, and its "systemctl start" has not arrived yet */

/* ---- databases --------------------------------------------------------------------------------------------------- */
#define NOTHING 0
#define IMPORTED 1
#define PROVEN 2
#define ACCEPTED 3
byte record;       /* the destination's record of this migration */
bit equal;         /* the destination holds what the source holds */
bit filled;        /* the destination holds records: a second scheduler would do the work of the first */
bit written;       /* a healthy destination has served: it holds what the source does not */
#define FREE 0     /* turns: 1 and 2 are the controllers */
#define DEAD 3     /* of a run that is known to have died */
byte turn_source, turn_destination;
bit turn_expired;

/* ---- controllers ------------------------------------------------------------------------------------------------- */
bit alive[2], killed[2];
bit in_module[2];  /* one call of a module is under way: it ends, or its host does, whatever becomes of the controller */
byte faults;
bit calm;          /* nothing has gone wrong since the run began with all hosts in reach */
bit rang;          /* a switch fired meanwhile */

#if N == 1
#define SOURCE_RUNS (runs[0])
#define DESTINATION_RUNS (runs[1])
#define DESTINATION_SERVES (runs[1] && !sick[1])
#define DESTINATION_ANSWERS (ANSWERS(1))
#define ANY_SICK (sick[1])
#define ALL_UP (up[0] == UP && up[1] == UP)
#define A_DESTINATION_IS_UP (up[1] == UP)
#define ALL_RETIRED (retired[0])
#define ANY_RETIRED (retired[0])
#define ANY_SWITCH (armed[0])
#define WILL_SERVE (COMES_BACK(0) || BOOTS_INTO(1))
#else
#define SOURCE_RUNS (runs[0] || runs[1])
#define DESTINATION_RUNS (runs[2] || runs[3])
#define DESTINATION_SERVES ((runs[2] && !sick[2]) || (runs[3] && !sick[3]))
#define DESTINATION_ANSWERS (ANSWERS(2) || ANSWERS(3))
#define ANY_SICK (sick[2] || sick[3])
#define ALL_UP (up[0] == UP && up[1] == UP && up[2] == UP && up[3] == UP)
#define A_DESTINATION_IS_UP (up[2] == UP || up[3] == UP)
#define ALL_RETIRED (retired[0] && retired[1])
#define ANY_RETIRED (retired[0] || retired[1])
#define ANY_SWITCH (armed[0] || armed[1])
#define WILL_SERVE (COMES_BACK(0) || COMES_BACK(1) || BOOTS_INTO(2) || BOOTS_INTO(3))
#endif
#define ANSWERS(h) (up[h] == UP && runs[h] && !sick[h])
#define BOOTS_INTO(h) (up[h] == OFF && boots[h] && !retired[h] && !sick[h])
#define COMES_BACK(h) (BOOTS_INTO(h) || (up[h] != OFF && !retired[h] && (armed[h] || on_its_way[h])))
#define SERVES (SOURCE_RUNS || DESTINATION_SERVES)
#define SOMEBODY_ACTS (alive[0] || alive[1])

/* ---- what must hold ---------------------------------------------------------------------------------------------- */
bit two_schedulers, accepted_and_source_can_run, dark_without_a_mark;            /* in every state */
bit accepted_unproven, lost_writes, hours_in_the_dark;                           /* where it could happen */
bit ended_in_the_dark, did_not_finish;                                           /* at the end of a run */
#ifdef ONLY
#define ASKED(name) (ONLY == name)  /* variants: the one assertion that is to fail */
#define TWO_SCHEDULERS 1
#define ACCEPTED_AND_SOURCE_CAN_RUN 2
#define DARK_WITHOUT_A_MARK 3
#define ACCEPTED_UNPROVEN 4
#define LOST_WRITES 5
#define HOURS_IN_THE_DARK 6
#define ENDED_IN_THE_DARK 7
#define DID_NOT_FINISH 8
#else
#define ASKED(name) true
#endif
#define NEVER(name, NAME, bad) if :: ASKED(NAME) && (bad) -> name = 1; assert(!name) :: else fi

proctype Always() {
end:
  if
  :: atomic { ASKED(TWO_SCHEDULERS) && SOURCE_RUNS && DESTINATION_RUNS && filled ->
       two_schedulers = 1; assert(!two_schedulers) }
  :: atomic { ASKED(ACCEPTED_AND_SOURCE_CAN_RUN) && record == ACCEPTED && (SOURCE_RUNS || !ALL_RETIRED || ANY_SWITCH) ->
       accepted_and_source_can_run = 1; assert(!accepted_and_source_can_run) }
  /* Nothing serves, nothing will by itself, and nobody is at it. The one exception: every source host is retired by us.
   * There it is written why nothing starts, and that the playbook is to be run. */
  :: atomic { ASKED(DARK_WITHOUT_A_MARK) && !SERVES && !WILL_SERVE && !SOMEBODY_ACTS && !ALL_RETIRED ->
       dark_without_a_mark = 1; assert(!dark_without_a_mark) }
  fi
}

/* ---- the world --------------------------------------------------------------------------------------------------- */
#define MAY_FAIL (faults < FAULTS)
#define FAULT faults++; calm = 0
#ifdef LIMIT_HAND_AT_DESTINATION
#define HANDS(h) true
#else
#define HANDS(h) SOURCE(h)
#endif

inline unit_starts(h) {
  runs[h] = 1;
  if
  :: SOURCE(h) -> equal = 0
  :: !SOURCE(h) && !sick[h] && filled -> written = 1
  :: else
  fi
}

proctype Host(byte h) {
end:
  do
  :: atomic { up[h] != OFF && MAY_FAIL -> /* world: it loses its power, and with it its transient timer */
       FAULT; up[h] = OFF; runs[h] = 0; at_work[h] = 0;
       if :: SOURCE(h) -> armed[h] = 0; on_its_way[h] = 0 :: else fi }
  :: atomic { up[h] == OFF -> /* world: it boots */
       up[h] = UP;
       if :: boots[h] && !retired[h] -> unit_starts(h) :: else fi }
  :: atomic { up[h] == UP && MAY_FAIL -> /* world: its network is cut */
       FAULT; up[h] = GONE }
  :: atomic { up[h] == GONE -> /* world: its network is back */
       up[h] = UP }
  :: atomic { SOURCE(h) && armed[h] -> /* world: its switch's time is over */
       armed[h] = 0; on_its_way[h] = 1; rang = 1 }
  :: atomic { SOURCE(h) && on_its_way[h] -> /* world: what its switch asked for arrives */
       on_its_way[h] = 0; rang = 1;
       if :: !retired[h] -> unit_starts(h) :: else fi }
  :: atomic { HANDS(h) && up[h] != OFF && !runs[h] && !retired[h] && MAY_FAIL -> /* world: somebody starts its unit by hand */
       FAULT; unit_starts(h) }
#ifdef LIMIT_HANDS_STOP
  :: atomic { SOURCE(h) && up[h] != OFF && runs[h] && MAY_FAIL -> /* world: somebody stops its unit by hand */
       FAULT; runs[h] = 0 }
#endif
  od
}

#define TURN_OF_A_DEAD_RUN(run) \
  if :: turn_source == run -> turn_source = DEAD :: else fi; \
  if :: turn_destination == run -> turn_destination = DEAD :: else fi

proctype Killer() {
end:
  do
  :: atomic { alive[0] && !in_module[0] && MAY_FAIL -> /* world: kill -9 of ansible-playbook */
       FAULT; alive[0] = 0; killed[0] = 1; TURN_OF_A_DEAD_RUN(1) }
  :: atomic { alive[1] && !in_module[1] && MAY_FAIL -> /* world: kill -9 of ansible-playbook */
       FAULT; alive[1] = 0; killed[1] = 1; TURN_OF_A_DEAD_RUN(2) }
#ifdef LIMIT_TURN_RUNS_OUT
  :: atomic { SOMEBODY_ACTS && !turn_expired && MAY_FAIL -> /* world: a controller sleeps longer than its turn lasts */
       FAULT; turn_expired = 1 }
#endif
  od
}

/* ---- the controller: one ansible-playbook ------------------------------------------------------------------------ */
#define MINE(turn) (turn == me + 1)
#define TAKEABLE(turn) (turn == FREE || turn == DEAD || turn_expired)
#define REACHED(h) (up[h] == UP)
#define EACH_SOURCE h = 0; do :: h < N ->
#define EACH_DESTINATION h = N; do :: h < ALL ->
#define NEXT h++ :: else -> break od; h = 0
/* A task on host h: what it does, or the stage has failed. */
#define TASK(does) if :: REACHED(h) -> does :: else -> goto back fi
#define TASK_IF_REACHED(does) if :: REACHED(h) -> does :: else fi
#define TASK_IF(condition, does) if :: REACHED(h) && (condition) -> does :: else -> goto back fi
#define FIRST_HOSTS_ANSWER if :: up[0] == UP && up[N] == UP :: else -> goto back fi
#define KEPT if :: MINE(turn_source) && MINE(turn_destination) :: else -> goto over fi
#define FAILS_OR_NOT if :: MAY_FAIL -> FAULT; goto back :: skip fi

/* Where a run is, as far as its way back asks for it. */
#define BEFORE_START 0   /* every destination is known to be at rest */
#define START 1          /* destinations may run */

/* A sick unit runs and never becomes healthy: at a start it shows which are. All of them are, where the fault is shared. */
inline destination_starts(h) {
  if
  :: skip
  :: MAY_FAIL -> FAULT; sick[h] = 1
  :: MAY_FAIL && !written -> FAULT; sick[N] = 1; sick[ALL - 1] = 1
  fi;
  unit_starts(h)
}

proctype Controller(byte me) {
  byte h;          /* the host that a task is at */
  bit stage;
  bit finished;    /* preflight read that the migration was accepted */
  bit recorded;    /* this run may have written the acceptance */
  bit resuming;    /* the way back is that of a run before this one, which goes on with its stages afterwards */

end:
idle:
  do
  :: atomic { me == 0 && !alive[0] && !killed[0] && !alive[1] -> /* operator: runs the playbook */
       alive[0] = 1; calm = ALL_UP; rang = 0; break }
  :: atomic { me == 1 && !alive[1] && !killed[1] && alive[0] && MAY_FAIL -> /* operator: runs it a second time, beside the first */
       FAULT; alive[1] = 1; break }
  od;
  {
    atomic { /* by: preflight.read */
      if :: ALL_UP -> finished = (record == ACCEPTED) :: else -> goto over fi }
    atomic { /* by: turn.take_source */
      if
      :: TAKEABLE(turn_source) -> turn_source = me + 1
#ifdef BROKEN_TURN_NOT_CHECKED
      :: else -> turn_source = me + 1
#else
      :: else -> goto over
#endif
      fi }
    atomic { /* by: turn.take_destination */
      if
      :: TAKEABLE(turn_destination) -> turn_destination = me + 1; turn_expired = 0
#ifdef BROKEN_TURN_NOT_CHECKED
      :: else -> turn_destination = me + 1
#else
      :: else -> goto give_back
#endif
      fi }
#ifndef BROKEN_NOT_READ_AGAIN
    atomic { /* by: turn.read_again */
      if :: finished == (record == ACCEPTED) :: else -> goto give_back fi }
#endif
    atomic { /* by: turn.had */
      if :: finished -> goto accepted_before :: else fi }
#ifndef BROKEN_NOT_RESUMED
    /* What a dead run left half way, forward or back: the source serves first. */
    atomic { /* by: resume.look */
      if :: ANY_RETIRED -> resuming = 1; stage = START; goto back :: else fi }
#endif

stages:
    stage = BEFORE_START;
    atomic { /* by: backup.taken */ FAILS_OR_NOT }
    atomic { /* by: export.bundle */ FIRST_HOSTS_ANSWER }
    atomic { /* by: empty.free */ if :: record != ACCEPTED :: else -> goto back fi }
    EACH_DESTINATION
#ifdef BROKEN_STOPPED_BEFORE_DISABLED
      atomic { /* by: install.stop */ TASK(runs[h] = 0) };
      atomic { /* by: install.disable */ TASK(boots[h] = 0) }
#else
      atomic { /* by: install.disable */ TASK(boots[h] = 0) };
      atomic { /* by: install.stop */ TASK(runs[h] = 0) }
#endif
    NEXT;
    atomic { /* by: import.records */
      FAILS_OR_NOT; FIRST_HOSTS_ANSWER;
      /* Backup, export and import take hours: the source serves meanwhile, or will by itself. */
      NEVER(hours_in_the_dark, HOURS_IN_THE_DARK, ALL_RETIRED);
      if :: record != ACCEPTED -> filled = 1; record = IMPORTED; equal = 0 :: else -> goto back fi }

    /* The freeze begins. */
    atomic { /* by: turn.keep */ KEPT }
    EACH_SOURCE
#ifdef BROKEN_SWITCH_NOT_ARMED
      skip
#else
      atomic { /* by: quiesce.arm */ TASK(armed[h] = 1) }
#endif
    NEXT;
    EACH_SOURCE
#if defined(BROKEN_SWITCH_NOT_ARMED) || defined(BROKEN_SWITCH_NOT_LOOKED_AT)
      atomic { /* by: quiesce.stop */ TASK(runs[h] = 0) }
#else
      /* WHY asked again in the call that stops: a boot since the arming forgot the timer, or its time was over. */
      atomic { /* by: quiesce.stop */ TASK_IF(armed[h], runs[h] = 0) }
#endif
    NEXT;
#ifndef BROKEN_STOP_NOT_PROVEN
    atomic { /* by: quiesce.quiet */ if :: !SOURCE_RUNS :: else -> goto back fi }
#endif
    atomic { /* by: turn.keep */ KEPT }
    atomic { /* by: differences.import */
      FAILS_OR_NOT; FIRST_HOSTS_ANSWER;
      if :: record != ACCEPTED -> record = IMPORTED :: else -> goto back fi;
      if
      :: equal = !SOURCE_RUNS
      :: MAY_FAIL -> FAULT   /* a record does not arrive as it was sent */
      fi }
    atomic { /* by: turn.keep */ KEPT }
    atomic { /* by: proof.equal */
      FIRST_HOSTS_ANSWER;
#ifndef BROKEN_NOT_PROVEN
      if :: equal :: else -> goto back fi;
#endif
      if :: record == IMPORTED -> record = PROVEN :: else -> goto back fi }

    atomic { /* by: turn.keep */ KEPT }
#ifdef BROKEN_DISARMED_BEFORE_RETIRED
    EACH_SOURCE
      atomic { /* by: accept.disarm */ TASK_IF(armed[h] && !runs[h], armed[h] = 0) }
    NEXT;
#endif
    EACH_SOURCE
#ifdef BROKEN_PROVEN_BEFORE_RETIRED
      atomic { /* by: accept.stopped */ TASK_IF(!runs[h], skip) };
#endif
#ifdef BROKEN_SOURCE_NOT_RETIRED
      atomic { /* by: accept.retire */ TASK(boots[h] = 0) };
#else
      atomic { /* by: accept.retire */ TASK(retired[h] = 1; boots[h] = 0) };
#endif
#if !defined(BROKEN_PROVEN_BEFORE_RETIRED) && !defined(BROKEN_STOP_NOT_PROVEN)
      /* WHY only now: nothing can start it any more. One that runs has written since the proof. */
      atomic { /* by: accept.stopped */ TASK_IF(!runs[h], skip) };
#endif
    NEXT;
#if !defined(BROKEN_SWITCH_NOT_DISARMED) && !defined(BROKEN_DISARMED_BEFORE_RETIRED)
    EACH_SOURCE
      /* A switch that is not there any more has fired, or its host has booted: the source may have run. */
      atomic { /* by: accept.disarm */ TASK_IF(armed[h], armed[h] = 0) }
    NEXT;
#endif
#ifdef CURE_HEARTBEATS_READ
    atomic { /* by: accept.heartbeats */ if :: equal :: else -> goto back fi }
#endif
    atomic { /* by: accept.record */
      recorded = 1;
      if
      :: up[N] == UP && record == PROVEN ->
           record = ACCEPTED; NEVER(accepted_unproven, ACCEPTED_UNPROVEN, !equal)
      :: else -> goto back
      fi }

    stage = START;
    atomic { /* by: turn.keep */ KEPT }
    EACH_DESTINATION
      atomic { /* by: start.enable */ TASK_IF_REACHED(boots[h] = 1) };
      atomic { /* by: start.start */ TASK_IF_REACHED(if :: !runs[h] -> destination_starts(h) :: else fi) }
    NEXT;
    /* Where some serve and others do not, the run says which, and nothing goes back. */
    atomic { /* by: start.healthy */ if :: DESTINATION_SERVES -> goto report :: else -> goto back fi };

accepted_before:
    atomic { /* by: finished.source_rests */ if :: ALL_UP && !SOURCE_RUNS :: else -> goto give_back fi };
    EACH_DESTINATION
      atomic { /* by: finished.enable */ TASK_IF_REACHED(boots[h] = 1) };
      atomic { /* by: finished.start */ TASK_IF_REACHED(if :: !runs[h] -> destination_starts(h) :: else fi) }
    NEXT;
    stage = START; recorded = 1;
    atomic { /* by: finished.healthy */ if :: DESTINATION_SERVES -> goto give_back :: else -> goto back fi };

report:
    /* Nothing goes back any more, whether or not there is a report. */
    atomic { /* by: report.written */ goto give_back };

    /* ---- the way back: from every stage before, and from the start of the destination ---- */
back:
    atomic { /* by: turn.keep */ KEPT }
#ifdef BROKEN_SOURCE_FIRST
    goto source_again;
destinations_after:
#endif
    EACH_DESTINATION
      atomic { /* by: back.disable */
        if
        :: REACHED(h) -> boots[h] = 0
#ifndef BROKEN_SILENCE_IS_REST
        :: !REACHED(h) && stage == START -> goto no_way_back
#endif
        :: else
        fi }
    NEXT;
    /* One that serves is not stopped at all. */
    atomic { /* by: back.look */
      if :: stage == START && DESTINATION_ANSWERS -> goto no_way_back :: else fi }
    EACH_DESTINATION
      atomic { /* by: back.stop */
        if
        :: REACHED(h) -> runs[h] = 0
#ifndef BROKEN_SILENCE_IS_REST
        :: !REACHED(h) && stage == START -> goto no_way_back
#endif
        :: else
        fi }
    NEXT;
#ifndef BROKEN_MOVED_NOT_ASKED
    /* WHY the database: all are at rest now, but one that booted twice served in between, and no host can tell. */
    atomic { /* by: back.unmoved */
      if :: stage == START && written -> goto no_way_back :: else fi }
#endif
    atomic { /* by: back.withdraw */
      if
      :: !recorded || record != ACCEPTED
      :: recorded && record == ACCEPTED && A_DESTINATION_IS_UP -> record = PROVEN
      :: else -> goto give_back   /* the source stays as it is, and the run says so */
      fi }
#ifdef BROKEN_SOURCE_FIRST
    goto give_back;
source_again:
#endif
    EACH_SOURCE
      /* One call of one module, in this order: a boot in between starts the unit, or leaves the mark. */
#ifdef BROKEN_UNRETIRED_BEFORE_ENABLED
      atomic { /* by: back.unretire */ TASK_IF_REACHED(in_module[me] = 1; at_work[h] = 1; retired[h] = 0) };
      atomic { /* by: back.enable */ if :: at_work[h] -> boots[h] = 1 :: else fi };
#else
      atomic { /* by: back.enable */ TASK_IF_REACHED(in_module[me] = 1; at_work[h] = 1; boots[h] = 1) };
      atomic { /* by: back.unretire */ if :: at_work[h] -> retired[h] = 0 :: else fi };
#endif
      atomic { /* by: back.start */
        if
        :: at_work[h] && !runs[h] -> unit_starts(h); NEVER(lost_writes, LOST_WRITES, written)
        :: else
        fi;
        in_module[me] = 0; at_work[h] = 0 }
    NEXT;
    EACH_SOURCE
      atomic { /* by: back.disarm */ TASK_IF_REACHED(if :: runs[h] -> armed[h] = 0 :: else fi) }
    NEXT;
#ifdef BROKEN_SOURCE_FIRST
    goto destinations_after;
#endif
    atomic { /* by: resume.served */
      if
      :: resuming && ALL_UP && !ANY_RETIRED && SOURCE_RUNS -> resuming = 0; goto stages
      :: else -> goto give_back
      fi };

no_way_back:
    EACH_DESTINATION
      atomic { /* by: back.enable_again */
        if :: !resuming -> TASK_IF_REACHED(boots[h] = 1) :: else fi };
      atomic { /* by: back.start_again */
        if :: !resuming -> TASK_IF_REACHED(if :: !runs[h] -> destination_starts(h) :: else fi) :: else fi }
    NEXT;

give_back:
    atomic { /* by: turn.give_back */
      if :: MINE(turn_source) -> turn_source = FREE :: else fi;
      if :: MINE(turn_destination) -> turn_destination = FREE :: else fi }
over:
    atomic { /* by: run.ends */
      alive[me] = 0;
      /* After a run that nothing disturbed something serves. A destination that has served and fell sick then is no matter
       * of a migration any more. */
      NEVER(ended_in_the_dark, ENDED_IN_THE_DARK, calm && !SERVES && !(written && ANY_SICK));
      /* And it went forward to the end, whatever earlier runs had left. */
      NEVER(did_not_finish, DID_NOT_FINISH, calm && !rang && !ANY_SICK && !(record == ACCEPTED && DESTINATION_SERVES));
      h = 0; stage = BEFORE_START; finished = 0; recorded = 0; resuming = 0;
      goto idle }
  } unless { atomic { killed[me] -> /* world: it is gone */
      killed[me] = 0; h = 0; stage = BEFORE_START; finished = 0; recorded = 0; resuming = 0;
      goto idle } }
}

init {
  byte h;
  atomic {
    h = 0;
    do :: h < N -> runs[h] = 1; boots[h] = 1; h++ :: else -> break od;
    if
    :: do :: h < ALL -> runs[h] = 1; boots[h] = 1; h++ :: else -> break od  /* as the vendor's installer leaves it */
    :: skip
    fi;
    h = 0;
    do :: h < ALL -> run Host(h); h++ :: else -> break od;
    run Always(); run Killer(); run Controller(0); run Controller(1)
  }
}
