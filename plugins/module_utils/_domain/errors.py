# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The one error of the collection: a stable code, what was found against what was expected, and the way out.

Raised on every floor, turned into a module result only by `_module`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from .values import JsonObject
from .visible import visible


class OpsError(Exception):
    """A refusal or a failure that an operator can act on.

    code: stable, dotted, listed in the guide to failure codes. message: found against expected, and where it
    came from; never a secret. hint: what to do next. step: the part of the operation that stopped, "" when it had not
    begun. retryable: the same call may succeed later without anybody changing anything. facts: JSON-clean extras
    (ids, counts, check values) merged into the module's result.

    A failure to which a caller of ours reacts is a class of its own below, so that no caller compares codes as text.
    The first paragraph of such a class is written for operators: it is its code's text in the guide (ADR-0021).
    """

    CODE: ClassVar[str] = ""  # of a class that has one code

    def __init__(
        self, message: str, *, code: str = "", hint: str, step: str = "", retryable: bool = False, **facts: object
    ) -> None:
        super().__init__(message)
        self.message = message
        self.code = code or self.CODE
        self.hint = hint
        self.step = step
        self.retryable = retryable
        self.facts: Mapping[str, object] = facts

    def at(self, step: str) -> OpsError:
        """Return self, marked with the step it stopped at unless one closer to the fault named itself."""
        if not self.step:
            self.step = step
        return self

    def as_result(self) -> JsonObject:
        """Return the arguments of `fail_json`: msg (bare, because some are the vendor's), failure, facts.

        What a database or an HSM put into the texts moves no cursor and begins no line (X28).
        """
        step, hint = visible(self.step), visible(self.hint)
        failure = {"code": self.code, "step": step, "retryable": self.retryable, "hint": hint}
        return {**self.facts, "msg": visible(self.message), "failure": failure}


class LeaseHeld(OpsError):
    """Another run holds the lease; it is named with host, process and end.

    Who waits for the lease catches this and tries again.
    """

    CODE = "lease.held"


class LeaseLost(OpsError):
    """The lease went to another run while this one was paused. This one wrote nothing more.

    Who holds a lease or a claim catches this and stops.
    """

    CODE = "lease.lost"


class Unauthorized(OpsError):
    """This user of the database may not do what was asked. The message has the command, the hint the role.

    Who can do without it catches this and goes on.
    """

    CODE = "database.unauthorized"


class DatabaseRefused(OpsError):
    """The database server refused an operation. The message has the server's code.

    Who knows what may be in the way catches this, takes it out of the way and tries again.
    """

    CODE = "database.refused"


class FileMissing(OpsError):
    """A file that was named does not exist.

    Who reads a default file catches this and goes on without it.
    """

    CODE = "file.missing"


class RowDamaged(OpsError):
    """A row of the keystore, or the install lock, has a value of another type than it must have.

    kek_info lists all of them; nothing else goes on.
    """

    CODE = "keystore.damaged"


class KeyNotHere(OpsError):
    """A device does not hold a key under the names that the keystore has for it.

    Who can do without that key catches this.
    """


class LoginRefused(OpsError):
    """A login to a device began and did not succeed. Who tried it notes that, and nobody tries it again.

    tried: False where this very failure was seen without a login. certain: the device said that the PIN is wrong.
    """

    tried = True
    certain: ClassVar[bool] = False
