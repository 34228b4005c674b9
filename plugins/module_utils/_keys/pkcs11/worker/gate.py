# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Who lets a worker call C_Login: after an answer other than CKR_OK, or none, it is not called again (X54)."""

from __future__ import annotations

from typing import Protocol

from .base import Refusal


class Gate(Protocol):
    """Who lets this worker log in: the parent, which knows what became of the PIN in the other workers (X54)."""

    def at(self, call: str) -> None:
        """Say which call comes next, should it not come back."""

    def enter(self) -> None:
        """Return when C_Login may be called. Raises Refusal when a login of this run did not end with CKR_OK."""

    def passed(self) -> None:
        """Say that C_Login answered CKR_OK."""


class OpenGate:
    """For one worker alone: it may log in until a login did not end with CKR_OK."""

    def __init__(self) -> None:
        self._entered = False

    def at(self, call: str) -> None:
        """See `Gate`."""

    def enter(self) -> None:
        """See `Gate`."""
        if self._entered:
            raise Refusal("pkcs11.login_unanswered", "a login of this process did not end with CKR_OK")
        self._entered = True

    def passed(self) -> None:
        """See `Gate`."""
        self._entered = False
