# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Tries what the service's user may do with paths, by a shell of that user: in plain, or in the unit's sandbox.

A shell, because every user can run it, and whatever interpreter runs this may lie in root's home. It is told its script
on standard input and changes nothing.
"""

from __future__ import annotations

import grp
import os
import pwd
import stat
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .._domain.access import EXISTS, READ, READ_ONLY, SEARCH, WRITE, Problem, Wanted, folders_above

_SCRIPT = b"""while [ $# -gt 0 ]; do
  if [ "-$1" "$2" ]; then printf y; else printf n; fi
  shift 2
done
"""
_TESTS = {SEARCH: "x", READ: "r", WRITE: "w", EXISTS: "e"}
_TIMEOUT_S = 60


@dataclass(frozen=True, slots=True)
class Actor:
    """A user of this host. launch: a command that starts a program as the service's process, () for the user alone."""

    name: str
    uid: int
    gid: int
    launch: tuple[str, ...] = ()

    @property
    def group(self) -> str:
        return _group_name(self.gid)


def actor_of(uid: int, *, group: str = "") -> Actor:
    """Return the user of this uid, in this group or else in its own. Raises KeyError for one that is not there."""
    entry = pwd.getpwuid(uid)
    return Actor(entry.pw_name, uid, grp.getgrnam(group).gr_gid if group else entry.pw_gid)


def problems_of(actor: Actor, wanted: Sequence[Wanted]) -> list[Problem] | None:
    """Return the first thing that is wrong with each path that is wanted, None where the tries could not be made."""
    steps = [_steps(one) for one in wanted]
    tests = [test for one in steps for test in one]
    answers = _answers(actor, tests)
    if answers is None:
        return None
    given = dict(zip(tests, answers, strict=True))
    found: dict[tuple[str, str], Problem] = {}
    for one, tried in zip(wanted, steps, strict=True):
        failed = next((test for test in tried if not given[test]), None)
        if failed is not None:
            permission, path = failed
            found.setdefault((path, permission), Problem(path, permission, one.why, _shown(path), one.repair))
    return list(found.values())


def read_only(problems: Sequence[Problem], known: Sequence[Problem]) -> list[Problem]:
    """Return the problems that only the sandbox makes. known: those that the user has without it."""
    before = {(problem.path, problem.permission) for problem in known}
    return [
        Problem(one.path, READ_ONLY if one.permission == WRITE else one.permission, one.why, one.found, one.repair)
        for one in problems
        if (one.path, one.permission) not in before
    ]


def _steps(wanted: Wanted) -> list[tuple[str, str]]:
    """Return (permission, path) in the order in which the kernel asks. WHY existence last but one: see the folders."""
    above = [(SEARCH, folder) for folder in folders_above(wanted.path)]
    return [*above, (EXISTS, wanted.path), *((permission, wanted.path) for permission in wanted.permissions)]


def _answers(actor: Actor, tests: Sequence[tuple[str, str]]) -> list[bool] | None:
    arguments = [word for permission, path in tests for word in (_TESTS[permission], path)]
    try:
        # WHY not run_command, as Ansible's rule asks: it cannot run as another user. No shell text, no secret in argv.
        ended = subprocess.run(  # pylint: disable=ansible-bad-function
            [*actor.launch, "/bin/sh", "-s", "--", *arguments],
            input=_SCRIPT,
            capture_output=True,
            cwd="/",
            timeout=_TIMEOUT_S,
            check=False,
            **_as(actor),
        )  # runs: sh
    except (OSError, subprocess.TimeoutExpired):
        return None
    said = ended.stdout.decode("ascii", "replace")
    return [letter == "y" for letter in said] if len(said) == len(tests) else None


def _as(actor: Actor) -> dict[str, Any]:
    if actor.launch or actor.uid == os.geteuid():
        return {}
    return {"user": actor.uid, "group": actor.gid, "extra_groups": os.getgrouplist(actor.name, actor.gid)}


def _shown(path: str) -> str:
    """Return "owner:group mode", "" where we see nothing either."""
    try:
        status = Path(path).stat()
    except OSError:
        return ""
    return f"{_user_name(status.st_uid)}:{_group_name(status.st_gid)} {stat.S_IMODE(status.st_mode):04o}"


def _user_name(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)


def _group_name(gid: int) -> str:
    try:
        return grp.getgrgid(gid).gr_name
    except KeyError:
        return str(gid)
