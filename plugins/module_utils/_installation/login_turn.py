# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The first login of a run: hosts take turns, and a PIN that one of them saw refused is not tried by another (T32).

Around the first login of a provider that logs in to a device:
 1 lease    "pin:login", so that the next host sees what became of this one's try
 2 notes    a PIN that the token refused before is refused here, before the device's library is loaded
 3 mark     in the lease, when C_Login is about to be called: whoever dies in it leaves the mark, and the next host
            finds it and does not try (X54)
 4 login    by the caller
 5 outcome  a refusal is noted; a PIN that was taken is noted no more
The turn may take minutes: whoever took it reads again what it decides by (ADR-0018). ADR-0015 says what the notes hold
and what this does not cover.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass

from .._domain.errors import LoginRefused, OpsError, Unauthorized
from .._domain.settings import Settings
from .._keys import registry
from .._keys.kind import Login
from .._keys.provider import FirstLogin, LoginRecord
from .._store import leases, pin_refusals
from .._store.connection import Store
from .._store.leases import Lease

LEASE = "pin:login"  # WHY not by token: what was typed as its label may be a PIN, and nobody has found it yet (X36)
LEASE_S = 10  # renewed while its holder lives: a host that died in its login holds up the others for no longer
_MARK = "login_begun"
WAIT_S = 120  # for many hosts before this one, or for one whose HSM hangs


def first_login(settings: Settings, store: Store, *, queue: bool = True, retry_refusal: str = "") -> FirstLogin:
    """Return what is entered for the first login. Raises then OpsError pkcs11.pin_refused_before, lease.held.

    queue: False takes no lease, for a check run that would otherwise be the first to write into a database.
    retry_refusal: id of the one refusal after which the PIN may be tried again.
    """
    login = registry.configured(settings).first_login(settings)
    return nullcontext() if login is None else _turn(login, store, queue=queue, retry_refusal=retry_refusal)


def login_turn_of(login: Login, store: Store) -> FirstLogin:
    """Return what is entered for a login of whatever is configured. Raises then as `first_login`."""
    return _turn(login, store, queue=bool(store.collection_names()), retry_refusal="")


def later_logins(settings: Settings, store: Store) -> AbstractContextManager[None]:
    """Note a PIN that is refused in the block, where a worker had to log in again and the PIN was changed meanwhile."""
    login = registry.configured(settings).first_login(settings)
    return nullcontext() if login is None else _noting(login, store)


@dataclass(frozen=True, slots=True)
class _Marked:
    """The mark of a login that is under way. Keeps `provider.LoginRecord`. lease: None where this run has no turn.

    place: the token, which is the mark: who finds it may be about to log in to another. It was found by then (X36).
    """

    store: Store
    lease: Lease | None
    place: str

    def begins(self) -> None:
        """Raises OpsError lease.lost, database.*: then nobody logs in."""
        if self.lease is not None:
            leases.mark(self.store, self.lease, _MARK, self.place)

    def passed(self) -> None:
        with contextlib.suppress(OpsError):  # SAFE BECAUSE a mark that stays is only asked about once more
            if self.lease is not None:
                leases.mark(self.store, self.lease, _MARK, "")

    def turn_into_a_note(self) -> None:
        """Note the login of an earlier holder who died in it."""
        place = leases.mark_of(self.store, self.lease, _MARK) if self.lease is not None else ""
        if self.lease is not None and place:
            pin_refusals.note(self.store, place, None)
            leases.mark(self.store, self.lease, _MARK, "")


@contextmanager
def _turn(login: Login, store: Store, *, queue: bool, retry_refusal: str) -> Iterator[LoginRecord | None]:
    with _queued(store, LEASE) if queue else nullcontext() as lease:
        mark = _Marked(store, lease, login.place)
        mark.turn_into_a_note()  # 2
        before = pin_refusals.find(store, login.place, login.secret)
        if before is not None and before.refusal != retry_refusal:
            raise login.refused_before(refusal=before.refusal, at=before.at, host=before.host, certain=before.certain)
        with _noting(login, store, mark):  # 3 to 5
            yield mark
        if before is not None:
            with contextlib.suppress(OpsError):  # SAFE BECAUSE a note that stays is only asked about once more
                pin_refusals.forget(store, login.place, login.secret)


@contextmanager
def _queued(store: Store, name: str) -> Iterator[Lease | None]:
    try:
        lease = leases.acquire_within(store, name, lease_s=LEASE_S, wait_s=WAIT_S)
    except Unauthorized:
        lease = None  # a user who may only read, as for an export: it logs in without a turn
    with leases.kept(store, lease, lease_s=LEASE_S) if lease is not None else nullcontext():
        yield lease


@contextmanager
def _noting(login: Login, store: Store, mark: _Marked | None = None) -> Iterator[None]:
    """Note a login that began in the block and did not succeed. mark: taken away once it is noted."""
    try:
        yield
    except LoginRefused as refusal:
        if refusal.tried:
            refusal.tried = False  # is noted once
            with contextlib.suppress(OpsError):  # SAFE BECAUSE the refusal itself matters more than that it is noted
                pin_refusals.note(store, login.place, login.secret if refusal.certain else None)
                if mark is not None:
                    mark.passed()
        raise
