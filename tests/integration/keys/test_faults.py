# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Prove on the real worker processes, over SoftHSM2 behind the shim, what an ill HSM does to a batch (T19 to T35).

What was sealed is opened in software with key values that only the test and the token know.
"""

from __future__ import annotations

import pytest
from ansible_collections.certautopilot.ops.plugins.module_utils._domain.errors import OpsError
from ansible_collections.certautopilot.ops.plugins.module_utils._keys.pkcs11.jobs import PoolOptions
from ansible_collections.certautopilot.ops.plugins.module_utils._keys.pkcs11.provider import Pkcs11Provider
from ansible_collections.certautopilot.ops.plugins.module_utils._keys.provider import KeyFailure

from tests.integration.keys.conftest import software_opens, unwrap_requests, wrap_requests

CKR_DEVICE_ERROR, CKR_TOKEN_NOT_PRESENT, CKR_SESSION_HANDLE_INVALID = 0x30, 0xE0, 0xB3
CKR_CANT_LOCK = 0xA
RATE_CAP = 500  # crypto calls a second


def test_t19_a_library_that_crashes_in_every_worker_is_a_named_error(known_keys, loaded, shim):
    provider = loaded(PoolOptions(workers=2), **shim.private(crash_after=200))

    with pytest.raises(OpsError) as crashed:
        provider.wrap(1, wrap_requests(1000))

    assert (crashed.value.code, crashed.value.retryable) == ("pkcs11.worker_crashed", True)
    assert "signal 11" in crashed.value.message
    assert "libshim.so" in crashed.value.message
    assert crashed.value.facts["pkcs11"]["library"] in crashed.value.message
    assert provider.worker_pids == ()


def test_t19_the_batch_of_the_one_worker_that_crashes_in_c_is_done_by_another(known_keys, loaded, shim):
    provider = loaded(PoolOptions(workers=2), **shim.faults(crash_after=500))
    asked = wrap_requests(1000)

    wraps = provider.wrap(1, asked)

    assert software_opens(known_keys[1], wraps, asked)
    assert len(provider.worker_pids) == 1
    assert provider.retries == 1


def test_a_call_that_never_returns_costs_its_worker_and_not_the_batch(known_keys, loaded, shim):
    provider = loaded(PoolOptions(workers=2, batch_timeout_s=3.0), **shim.faults(hang_after=150))
    asked = wrap_requests(100)

    wraps = provider.wrap(1, asked)

    assert software_opens(known_keys[1], wraps, asked)
    assert len(provider.worker_pids) == 1


@pytest.mark.parametrize("code", [CKR_DEVICE_ERROR, CKR_TOKEN_NOT_PRESENT, CKR_SESSION_HANDLE_INVALID])
def test_t21_a_blip_in_fifty_calls_is_tried_again_and_counted(known_keys, loaded, shim, code):
    provider = loaded(PoolOptions(workers=2), **shim.faults(error_every=50, error_codes=code))
    asked = wrap_requests(600)

    wraps = provider.rewrap(2, unwrap_requests(1, provider.wrap(1, asked)))

    assert software_opens(known_keys[2], wraps, asked)
    assert provider.retries == shim.counters()["injected"] >= 600 * 5 // 50
    assert len(provider.worker_pids) == 2


@pytest.mark.parametrize(("workers", "wraps"), [(2, 600), (8, 1000)])
def test_t22_a_throttled_hsm_gets_all_the_work_done_and_hardly_any_of_it_twice(
    known_keys, loaded, shim, workers, wraps
):
    provider = loaded(PoolOptions(workers=workers), **shim.faults(rate_cap=RATE_CAP))
    before, asked = shim.counters(), wrap_requests(wraps)

    answers = provider.wrap(1, asked)

    after = shim.counters()
    admitted = after["admitted"] - before["admitted"]
    assert software_opens(known_keys[1], answers, asked)
    assert after["refused"] > before["refused"]
    assert 2 * len(asked) / admitted >= 0.9
    assert len(provider.worker_pids) == workers


@pytest.mark.parametrize("dropped_at", [4, 19, 700])
def test_t34_dropped_sessions_are_opened_anew_and_no_stale_handle_names_a_key(known_keys, loaded, shim, dropped_at):
    # Calls 1 to 18 find the IV rule and seal the pulse in two workers; 700 is in the middle of the batches. After the
    # drop the handle of key 1 is that of key 2 and the other way round.
    faults = shim.faults(drop_sessions_after=dropped_at, shuffle_handles=1)
    provider = loaded(PoolOptions(workers=2), **faults)
    asked = wrap_requests(300)

    old = provider.wrap(1, asked)
    new = provider.rewrap(2, unwrap_requests(1, old))

    assert software_opens(known_keys[1], old, asked)
    assert software_opens(known_keys[2], new, asked)
    counted = shim.counters()
    assert (counted["drops"], counted["logins"], counted["wrong_pins"]) == (1, 4, 0)
    assert len(provider.worker_pids) == 2


def test_t27_a_wrap_that_comes_out_corrupt_is_a_failure_of_its_item(known_keys, loaded, shim):
    provider = loaded(**shim.faults(corrupt_every=97))
    asked = wrap_requests(500)

    results = provider.wrap(1, asked)

    fine = [(wrap, request) for wrap, request in zip(results, asked, strict=True) if isinstance(wrap, bytes)]
    refused = [result for result in results if isinstance(result, KeyFailure)]
    assert software_opens(known_keys[1], *map(list, zip(*fine, strict=True)))
    assert len(refused) == shim.counters()["corrupted"] > 0
    assert {result.reason for result in refused} == {"verification"}


@pytest.mark.parametrize("fault", [{"initialize": CKR_CANT_LOCK}, {"demand_locking": 1}])
def test_t35_a_module_that_cannot_be_initialised_our_way_is_named(hsm, shim, fault):
    provider = Pkcs11Provider(hsm.settings(**shim.faults(**fault)))

    with pytest.raises(OpsError) as refused:
        provider.open()

    assert (refused.value.code, refused.value.retryable) == ("pkcs11.initialize_refused", False)
    assert "CKR_CANT_LOCK" in refused.value.message
    assert "CKF_OS_LOCKING_OK" in refused.value.message
    counted = shim.counters()
    assert (counted["initialised"], counted["logins"]) == (1, 0)


def test_t35_a_module_that_refuses_locking_is_used_without(known_keys, loaded, shim):
    provider = loaded(**shim.faults(refuse_locking=1))
    asked = wrap_requests(5)

    assert software_opens(known_keys[1], provider.wrap(1, asked), asked)


def _moved_to_and_fro(provider, known_keys, asked, rounds):
    """Wrap under version 1 and re-wrap so often, every wrap opened in software after each round."""
    version, wraps = 1, provider.wrap(1, asked)
    for _number in range(rounds):
        assert software_opens(known_keys[version], wraps, asked)
        moved = provider.rewrap(3 - version, unwrap_requests(version, wraps))
        version, wraps = 3 - version, moved
    return software_opens(known_keys[version], wraps, asked)


def test_t29_eight_workers_lose_nothing(known_keys, loaded, shim):
    provider = loaded(PoolOptions(workers=8), **shim.faults())

    assert _moved_to_and_fro(provider, known_keys, wrap_requests(2000), rounds=2)

    assert shim.counters()["calls"] >= 2000 * 8
    assert (len(provider.worker_pids), provider.retries) == (8, 0)


@pytest.mark.slow
def test_t29_eight_workers_with_a_hundred_thousand_operations_each_lose_nothing(known_keys, loaded, shim):
    provider = loaded(PoolOptions(workers=8), **shim.faults())

    assert _moved_to_and_fro(provider, known_keys, wrap_requests(40_000), rounds=6)

    assert shim.counters()["calls"] >= 8 * 100_000
    assert (len(provider.worker_pids), provider.retries) == (8, 0)
