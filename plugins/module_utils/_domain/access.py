# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the service's user must be able to do with a path, and what is said when it cannot. Pure.

A try is made as that user, in a process of its own (`_installation/as_user.py`); here it becomes a sentence with path,
user, permission, and the command that repairs it.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import PurePosixPath

from .errors import OpsError
from .listing import LISTED_AT_MOST
from .values import JsonObject

SEARCH, READ, WRITE, EXISTS, READ_ONLY = "search", "read", "write", "exists", "read_only"
OWN, OTHERS_READ = "chown {owner} {path}", "chmod o+r {path}"
_WORDS = {SEARCH: "enter", READ: "read", WRITE: "write into", EXISTS: "find", READ_ONLY: "write into"}
_HOMES = ("/root", "/home")


@dataclass(frozen=True, slots=True)
class Wanted:
    """path: tried as the user. permissions: of READ, WRITE, SEARCH. why: "config.yaml", "the token's folder", …

    repair: the command that gives it: OWN for what is to be the service's own, OTHERS_READ for what many use.
    """

    path: str
    permissions: tuple[str, ...]
    why: str
    repair: str = OWN


@dataclass(frozen=True, slots=True)
class Problem:
    """path: the one at fault, which may be a folder above. found: owner and mode, as "root:root 0600"."""

    path: str
    permission: str
    why: str
    found: str
    repair: str

    def sentence(self, user: str) -> str:
        """Return what the user cannot do, and what is there."""
        there = f" ({self.found})" if self.found else ""
        how = ", which is read-only for the service" if self.permission == READ_ONLY else ""
        return f"user {user} cannot {_WORDS[self.permission]} {self.path}{there}{how}, needed for {self.why}"

    def command(self, user: str, group: str) -> str:
        """Return the command that repairs it, or what to do where a command would be wrong."""
        if self.permission == EXISTS:
            return f"put {self.why} at {self.path}"
        if self.permission == READ_ONLY:
            return f"add ReadWritePaths={self.path} to the unit"
        if self.permission == SEARCH and self.path.startswith(_HOMES):
            return f"move {self.why} out of {self.path}, which is a user's home"
        if self.permission == SEARCH:
            return f"chgrp {group} {self.path} && chmod g+rx {self.path}"
        return self.repair.replace("{owner}", f"{user}:{group}").replace("{path}", self.path)

    def as_result(self, user: str, group: str) -> JsonObject:
        """Return the sentence and its parts, and the command that repairs it, JSON-clean."""
        return {
            "says": self.sentence(user),
            "path": self.path,
            "user": user,
            "permission": self.permission,
            "found": self.found,
            "needed_for": self.why,
            "repair": self.command(user, group),
        }


def refusal(problems: list[Problem], user: str, group: str) -> OpsError:
    """Return the failure that names the first problem and lists all."""
    first, more = problems[0], len(problems) - 1
    commands = list(dict.fromkeys(problem.command(user, group) for problem in problems))
    return OpsError(
        f"{first.sentence(user)}, expected all that the service needs to be usable for it"
        + (f"; {more} more are in `problems`" if more else ""),
        code="access.path",
        hint="; ".join(commands[:3]) + ("; and so on for the others" if len(commands) > 3 else ""),
        problems=[problem.as_result(user, group) for problem in problems[:LISTED_AT_MOST]],
    )


def folders_above(path: str) -> list[str]:
    """Return the folders that must be entered on the way to an absolute path, from the root."""
    return [str(parent) for parent in reversed(PurePosixPath(path).parents)]
