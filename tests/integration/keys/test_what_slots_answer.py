# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""An HSM that is away, hangs or says no: what it answered is named, and so is the way out (X55, X59 to X61)."""

from __future__ import annotations

import time

import pytest
from ansible_collections.certautopilot.ops.plugins.module_utils._domain.errors import OpsError
from ansible_collections.certautopilot.ops.plugins.module_utils._keys.pkcs11.jobs import PoolOptions
from ansible_collections.certautopilot.ops.plugins.module_utils._keys.pkcs11.provider import Pkcs11Provider

from tests.integration.keys.conftest import SOFTHSM, reference, software_opens, unwrap_requests, wrap_requests
from tests.support import hsm_shim

WRITE_PROTECTED, KEY_PAD = 0x2, 0x100


def refusal_of(hsm, changes, options=None):
    with pytest.raises(OpsError) as refused, Pkcs11Provider(hsm.settings(**changes), options) as provider:
        provider.probe()
    return refused.value


@pytest.mark.parametrize(("code", "name"), [(0x32, "CKR_DEVICE_REMOVED"), (0x80000001, "CKR 0x80000001")])
def test_x59_a_slot_that_is_sick_is_named_with_its_answer_and_nobody_is_told_to_make_a_token(hsm, shim, code, name):
    refusal = refusal_of(hsm, shim.faults(slot_sick=code))

    assert (refusal.code, refusal.retryable) == ("pkcs11.token_gone", True)
    assert f"answers {name}" in refusal.message
    assert "make" not in refusal.hint


def test_x59_a_library_that_does_not_list_its_slots_is_away_too(hsm, shim):
    refusal = refusal_of(hsm, shim.faults(**hsm_shim.fault("C_GetSlotList", "before", fault_always=1)))

    assert (refusal.code, refusal.retryable) == ("pkcs11.token_gone", True)
    assert "CKR_DEVICE_ERROR" in refusal.message


def test_x60_workers_that_hang_together_are_given_up_together_with_call_and_seconds(known_keys, loaded, shim):
    hang = hsm_shim.fault("C_EncryptInit", "hang", fault_always=1, fault_at=30)
    provider = loaded(PoolOptions(workers=4, batch_timeout_s=2.0), **shim.private(**hang))
    began = time.monotonic()

    with pytest.raises(OpsError) as refused:
        provider.wrap(1, wrap_requests(400))

    assert time.monotonic() - began < 2 * 2.0
    assert (refused.value.code, refused.value.retryable) == ("pkcs11.worker_timeout", True)
    assert "wrap did not answer within 2" in refused.value.message
    assert "`pkcs11_timeout`" in refused.value.hint
    assert provider.worker_pids == ()


def test_x60_a_start_that_hangs_names_the_call(hsm, shim):
    refusal = refusal_of(hsm, shim.faults(**hsm_shim.fault("C_Initialize", "hang")), PoolOptions(start_timeout_s=1.0))

    assert refusal.code == "pkcs11.worker_timeout"
    assert "C_Initialize did not answer within 1" in refusal.message


def test_x60_a_library_that_crashes_while_it_is_loaded_is_not_worth_another_run(hsm, shim):
    refusal = refusal_of(hsm, shim.private(**hsm_shim.fault("C_Initialize", "crash_before")))

    assert (refusal.code, refusal.retryable) == ("pkcs11.load_crashed", False)
    assert "signal 11" in refusal.message


def test_x61_a_refused_key_of_the_session_is_named_by_the_code(hsm, shim):
    refusal = refusal_of(hsm, shim.faults(refuse_keygen=0xD1))

    assert refusal.code == "pkcs11.key_generation_refused"
    assert "CKR_TEMPLATE_INCONSISTENT" in refusal.message


def test_x61_a_session_that_stays_public_after_a_good_login_is_named_as_that(known_keys, hsm, shim):
    refusal = refusal_of(hsm, shim.faults(anonymous=1))

    assert refusal.code == "pkcs11.not_logged_in"
    assert "C_GetSessionInfo" in refusal.message


def test_x61_attempts_in_one_session_are_not_called_attempts_in_a_new_one(known_keys, loaded, shim):
    fault = hsm_shim.fault("C_EncryptInit", "before", fault_always=1, fault_at=30)
    provider = loaded(**shim.private(**fault))

    with pytest.raises(OpsError) as refused:
        provider.wrap(1, wrap_requests(50))

    assert "CKR_DEVICE_ERROR, 9 attempts, all in one session" in refused.value.message


def test_x61_a_token_that_is_write_protected_still_wraps_and_says_why_it_makes_no_key(known_keys, loaded, shim):
    provider = loaded(**shim.faults(token_flags=WRITE_PROTECTED))
    asked = wrap_requests(5)

    wraps = provider.wrap(1, asked)
    with pytest.raises(OpsError) as refused:
        provider.generate_key("another", b"another-id")

    assert software_opens(known_keys[1], wraps, asked)
    assert refused.value.code == "pkcs11.key_generation_refused"
    assert "CKR_SESSION_READ_ONLY" in refused.value.message


def test_x61_a_pin_refused_by_a_token_with_a_key_pad_says_that_it_has_one(hsm, shim):
    changes = {**shim.faults(token_flags=KEY_PAD), "pin": "0000-wrong"}

    assert "key pad" in refusal_of(hsm, changes).message


def test_the_right_pin_is_taken_by_a_token_that_has_a_key_pad_as_well(known_keys, loaded, shim):
    provider = loaded(**shim.faults(token_flags=KEY_PAD))

    assert all(
        isinstance(dek, bytes) for dek in provider.unwrap(unwrap_requests(1, provider.wrap(1, wrap_requests(2))))
    )


def test_a_healthy_library_still_says_which_tokens_there_are(hsm):
    refusal = refusal_of(hsm, {"module_path": SOFTHSM, "token_label": "another"})

    assert refusal.code == "pkcs11.token_not_found"
    assert f'"kek-token" (serial {hsm.serial})' in refusal.message
    assert reference(1).label not in refusal.message
