# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The first login of a run: hosts take turns, and a PIN that one of them saw refused is not tried by another (T32).

Around the first login of the provider `pkcs11`:
 1 lease    "pin:<token>", so that the next host sees what became of this one's try
 2 notes    a PIN that the token refused before is refused here, before the PKCS#11 library is loaded
 3 login    by the caller
 4 outcome  a refusal is noted; a PIN that was taken is noted no more
ADR-0015 says what the notes hold and what this does not cover.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext

from .._domain.errors import OpsError, Unauthorized
from .._domain.pkcs11_settings import Pkcs11Settings
from .._domain.settings import Settings
from .._keys.pkcs11.failures import failure
from .._store import leases, pin_refusals
from .._store.connection import Store
from .._store.pin_refusals import Refusal

LEASE_S = 10  # renewed while its holder lives: a host that died in its login holds up the others for no longer
WAIT_S = 120  # for many hosts before this one, or for one whose HSM hangs
REFUSED = "pkcs11.pin_incorrect"


def first_login(
    settings: Settings, store: Store, *, queue: bool = True, retry_refusal: str = ""
) -> AbstractContextManager[None]:
    """Return what is entered for the first login. Raises then OpsError pkcs11.pin_refused_before, lease.held.

    queue: False takes no lease, for a check run that would otherwise be the first to write into a database.
    retry_refusal: id of the one refusal after which the PIN may be tried again.
    """
    if settings.require_provider() != "pkcs11":
        return nullcontext()
    return _turn(settings.require_pkcs11(), store, queue=queue, retry_refusal=retry_refusal)


@contextmanager
def later_logins(settings: Settings, store: Store) -> Iterator[None]:
    """Note a PIN that is refused in the block, where a worker had to log in again and the PIN was changed meanwhile."""
    if settings.require_provider() != "pkcs11":
        yield
        return
    with _noting(settings.require_pkcs11(), store):
        yield


@contextmanager
def _turn(pkcs11: Pkcs11Settings, store: Store, *, queue: bool, retry_refusal: str) -> Iterator[None]:
    token, pin = _token(pkcs11), pkcs11.pin or ""
    with _queued(store, f"pin:{token}") if queue else nullcontext():
        before = pin_refusals.find(store, token, pin)
        if before is not None and before.refusal != retry_refusal:
            raise _refused_before(pkcs11, before)
        with _noting(pkcs11, store):
            yield
        if before is not None:
            with contextlib.suppress(OpsError):  # SAFE BECAUSE a note that stays is only asked about once more
                pin_refusals.forget(store, token, pin)


@contextmanager
def _queued(store: Store, name: str) -> Iterator[None]:
    try:
        lease = leases.acquire_within(store, name, lease_s=LEASE_S, wait_s=WAIT_S)
    except Unauthorized:
        lease = None  # a user who may only read, as for an export: it logs in without a turn
    with leases.kept(store, lease, lease_s=LEASE_S) if lease is not None else nullcontext():
        yield


@contextmanager
def _noting(pkcs11: Pkcs11Settings, store: Store) -> Iterator[None]:
    try:
        yield
    except OpsError as error:
        if error.code == REFUSED:
            with contextlib.suppress(OpsError):  # SAFE BECAUSE the refusal itself matters more than that it is noted
                pin_refusals.note(store, _token(pkcs11), pkcs11.pin or "")
        raise


def _token(pkcs11: Pkcs11Settings) -> str:
    """Return what the token is called in leases and notes: its label, and its serial number where one is set."""
    return f"{pkcs11.token_label}/{pkcs11.token_serial}" if pkcs11.token_serial else pkcs11.token_label


def _refused_before(pkcs11: Pkcs11Settings, before: Refusal) -> OpsError:
    return failure(
        pkcs11,
        "pkcs11.pin_refused_before",
        f'token "{pkcs11.token_label}" refused this user PIN at {before.at} on {before.host} '
        f"(refusal {before.refusal}); no login was tried",
        refusal=before.refusal,
        refused_at=before.at,
        refused_on=before.host,
    )
