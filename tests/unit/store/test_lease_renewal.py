# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A claim is renewed in the background, and no write passes once it may be somebody else's."""

from __future__ import annotations

import threading

import pytest
from ansible_collections.certautopilot.ops.plugins.module_utils._domain.errors import LeaseLost, OpsError
from ansible_collections.certautopilot.ops.plugins.module_utils._store import lease_renewal as keepers
from ansible_collections.certautopilot.ops.plugins.module_utils._store.lease_renewal import Keeper

LOST = LeaseLost("gone", hint="")
AWAY = OpsError("away", code="database.unreachable", hint="")


class Claim:
    """Counts renewals; raises what it is told to."""

    def __init__(self):
        self.renewed = threading.Event()
        self.count = 0
        self.error = None

    def renew(self):
        self.count += 1
        self.renewed.set()
        if self.error is not None:
            raise self.error


@pytest.fixture
def clock(monkeypatch):
    now = [100.0]
    monkeypatch.setattr(keepers, "clock", lambda: now[0])
    return now


def test_a_claim_is_renewed_without_being_asked():
    claim = Claim()

    with Keeper(claim.renew, 0.03, since=keepers.clock()):
        assert claim.renewed.wait(timeout=30)


def test_nothing_renews_after_it_was_left():
    claim = Claim()
    with Keeper(claim.renew, 0.03, since=keepers.clock()) as keeper:
        assert claim.renewed.wait(timeout=30)

    assert not keeper._thread.is_alive()


def test_a_claim_whose_answer_was_late_is_asked_for_again_before_the_first_write(clock):
    claim, asked_at = Claim(), clock[0]
    clock[0] += 3600  # the process was stopped here, or the server was slow

    with Keeper(claim.renew, 3600, since=asked_at) as keeper:
        keeper.require()

    assert claim.count == 1


def test_a_fresh_claim_is_not_asked_for_again(clock):
    claim = Claim()

    with Keeper(claim.renew, 3600, since=keepers.clock()) as keeper:
        keeper.require()

    assert claim.count == 0


def test_a_process_that_was_paused_asks_before_it_writes(clock):
    claim = Claim()

    with Keeper(claim.renew, 3600, since=keepers.clock()) as keeper:
        clock[0] += 3600
        keeper.require()
        keeper.require()

    assert claim.count == 1


def test_a_lost_claim_stays_lost(clock):
    claim = Claim()
    with Keeper(claim.renew, 3600, since=keepers.clock()) as keeper:
        clock[0] += 3600
        claim.error = LOST
        with pytest.raises(OpsError, match="gone"):
            keeper.require()
        claim.error = None
        clock[0] = 100.0

        with pytest.raises(OpsError, match="gone"):
            keeper.require()


def test_a_server_that_is_away_stops_the_write_once_the_claim_is_old_and_not_before(clock):
    claim = Claim()
    claim.error = AWAY
    with Keeper(claim.renew, 3600, since=keepers.clock()) as keeper:
        keeper.require()
        clock[0] += 3600
        with pytest.raises(OpsError, match="away"):
            keeper.require()
        claim.error = None

        keeper.require()

    assert claim.count == 2
