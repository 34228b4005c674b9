# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Prove how many tries of a PIN that locks after three a wrong one costs, and that sessions are given back (T32, T33).

One HSM behind the shim; its try counter, its lock and its session cap are shared by all hosts, runs and workers. This
is the provider by itself: hosts that share a database are in tests/integration/installation/test_login_turn.py.
"""

from __future__ import annotations

from collections import Counter

import pytest
from ansible_collections.certautopilot.ops.plugins.module_utils._domain.errors import OpsError
from ansible_collections.certautopilot.ops.plugins.module_utils._keys.pkcs11.jobs import PoolOptions
from ansible_collections.certautopilot.ops.plugins.module_utils._keys.pkcs11.provider import Pkcs11Provider

from tests.integration.keys.conftest import software_opens, unwrap_requests, wrap_requests

HOSTS, RESTARTS, WORKERS, LIMIT = 5, 3, 8, 3


def login(hsm, changes, workers=WORKERS, **more):
    """Open a provider as a run on a host does; return the code of its refusal, "" for none."""
    try:
        with Pkcs11Provider(hsm.settings(**changes, **more), PoolOptions(workers=workers)):
            return ""
    except OpsError as error:
        return error.code


def test_t32_one_run_with_a_bad_pin_burns_one_try_whatever_its_workers(hsm, shim):
    assert login(hsm, shim.faults(pin_tries=LIMIT), pin="0000-wrong") == "pkcs11.pin_incorrect"

    counted = shim.counters()
    assert (counted["logins"], counted["wrong_pins"]) == (1, 1)


def test_t32_a_bad_pin_on_five_hosts_never_locks_a_token_that_warns(hsm, shim):
    faults = shim.faults(pin_tries=LIMIT)

    codes = Counter(login(hsm, faults, pin="0000-wrong") for _run in range(HOSTS * RESTARTS))

    # Each run by itself stops after one try; the flag of the final try, shown after the second, stops all later ones.
    assert codes == {"pkcs11.pin_incorrect": LIMIT - 1, "pkcs11.pin_final_try": HOSTS * RESTARTS - (LIMIT - 1)}
    assert shim.counters()["wrong_pins"] == LIMIT - 1


def test_t32_on_a_token_that_does_not_warn_each_run_burns_one_try_and_a_locked_pin_is_named(hsm, shim):
    faults = shim.faults(pin_tries=LIMIT, pin_silent=1)

    codes = [login(hsm, faults, pin="0000-wrong") for _run in range(LIMIT + 1)]

    assert codes == ["pkcs11.pin_incorrect"] * LIMIT + ["pkcs11.pin_locked"]
    assert shim.counters()["wrong_pins"] == LIMIT


def test_t32_neither_the_final_try_nor_a_locked_pin_is_touched(hsm, shim):
    for _run in range(LIMIT - 1):
        login(hsm, shim.faults(pin_tries=LIMIT, pin_silent=1), pin="0000-wrong")
    before = shim.counters()["logins"]

    final = login(hsm, shim.faults(pin_tries=LIMIT))
    login(hsm, shim.faults(pin_tries=LIMIT, pin_silent=1), pin="0000-wrong")
    locked = login(hsm, shim.faults(pin_tries=LIMIT))

    assert (final, locked) == ("pkcs11.pin_final_try", "pkcs11.pin_locked")
    assert shim.counters()["logins"] == before + 1


def test_t32_the_right_pin_is_used_after_one_wrong_try(known_keys, hsm, loaded, shim):
    faults = shim.faults(pin_tries=LIMIT)
    login(hsm, faults, pin="0000-wrong")
    asked = wrap_requests(10)

    wraps = loaded(PoolOptions(workers=2), **faults).wrap(1, asked)

    assert software_opens(known_keys[1], wraps, asked)
    assert shim.counters()["pin_tries"] == 0


@pytest.mark.parametrize("silent", [0, 1])
def test_t32_a_pin_that_is_changed_during_a_run_costs_one_try_when_all_workers_lose_their_sessions(
    known_keys, hsm, loaded, shim, silent
):
    faults = shim.faults(pin_tries=LIMIT, pin_silent=silent, drop_sessions_after=1000)
    provider = loaded(PoolOptions(workers=6), **faults)
    hsm.oracle("set_pin", new_pin="another-pin-4410")

    with pytest.raises(OpsError) as refused:
        provider.wrap(1, wrap_requests(3000))
    provider.close()  # lets the others finish what they hold: each meets the drop

    assert refused.value.code == "pkcs11.pin_incorrect"
    assert shim.counters()["wrong_pins"] == 1


def test_t33_a_refused_login_gives_its_session_back(hsm, shim):
    login(hsm, shim.faults(), pin="0000-wrong")

    counted = shim.counters()
    assert (counted["opened"], counted["closed"] + counted["finalised"]) == (1, 1)


@pytest.mark.parametrize("workers", [1, 4])
def test_t33_each_worker_logs_in_once_closes_what_it_opened_and_searches_only_at_its_start(
    known_keys, loaded, shim, workers
):
    provider = loaded(PoolOptions(workers=workers), **shim.faults())
    searched = shim.counters()["finds"]

    for count in (10, 400):
        provider.rewrap(2, unwrap_requests(1, provider.wrap(1, wrap_requests(count))))
    provider.close()

    counted = shim.counters()
    assert [counted[name] for name in ("initialised", "logins", "opened", "closed")] == [workers] * 4
    assert counted["finds"] == searched


def test_t33_a_session_cap_is_how_many_workers_there_are(known_keys, loaded, shim):
    provider = loaded(PoolOptions(workers=8), **shim.faults(sessions=3))
    asked = wrap_requests(300)

    wraps = provider.wrap(1, asked)

    assert software_opens(known_keys[1], wraps, asked)
    assert (len(provider.worker_pids), shim.counters()["session_refusals"]) == (3, 0)


def test_t33_a_session_that_another_host_holds_costs_a_worker_and_not_the_run(known_keys, loaded, shim):
    faults = shim.faults(sessions=3)
    first, asked = loaded(PoolOptions(workers=2), **faults), wrap_requests(300)

    second = loaded(PoolOptions(workers=3), **faults)
    wraps = second.wrap(1, asked)

    assert software_opens(known_keys[1], wraps, asked)
    assert (len(first.worker_pids), len(second.worker_pids)) == (2, 1)


def test_t33_where_no_session_is_left_the_run_says_so(hsm, loaded, shim):
    faults = shim.faults(sessions=1)
    loaded(**faults)

    with pytest.raises(OpsError) as refused:
        Pkcs11Provider(hsm.settings(**faults)).open()

    assert (refused.value.code, refused.value.retryable) == ("pkcs11.session_limit", True)
