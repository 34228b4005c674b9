# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Prove what a batch does with blips, ended sessions, altered bytes and modules that lie (T21, T25, T27, T34)."""

from __future__ import annotations

import os

import pytest
from ansible_collections.certautopilot.ops.plugins.module_utils._keys.pkcs11.worker import engine as engines
from ansible_collections.certautopilot.ops.plugins.module_utils._keys.pkcs11.worker import gcm_calls, keys
from ansible_collections.certautopilot.ops.plugins.module_utils._keys.pkcs11.worker.base import Refusal
from ansible_collections.certautopilot.ops.plugins.module_utils._keys.pkcs11.worker.engine import Engine

from tests.unit.keys.fake_binding import (
    BINDING,
    DeviceError,
    EncryptedDataInvalid,
    FakeKey,
    GeneralError,
    SessionHandleInvalid,
)
from tests.unit.keys.fake_module import FakeModule

AAD = b"a" * 32


class FakeHsm:
    """A session whose keys are found by label; reopening gives new key objects, as new handles would be."""

    def __init__(self, raw: FakeModule | None) -> None:
        self.raw = raw
        self.keys = {"v1": FakeKey(), "v2": FakeKey()}
        self.reopened = 0
        self.session = None

    def reopen(self) -> None:
        self.reopened += 1
        self.keys = {label: FakeKey(value=key.value) for label, key in self.keys.items()}


@pytest.fixture(params=["through the binding", "in one call"])
def hsm(request, monkeypatch):
    monkeypatch.setattr(gcm_calls, "pkcs11", BINDING)
    monkeypatch.setattr(engines.time, "sleep", lambda seconds: None)
    monkeypatch.setattr(keys, "find_one", lambda hsm, label, key_id: hsm.keys[label])
    monkeypatch.setattr(keys, "check_value", lambda key: None)
    monkeypatch.setattr(keys, "generate_ephemeral", lambda session: FakeKey())
    return FakeHsm(FakeModule() if request.param == "in one call" else None)


@pytest.fixture
def engine(hsm):
    engine = Engine(hsm)
    engine.load({1: ("v1", b"", None), 2: ("v2", b"", None)})
    engine.take_retries()
    return engine


def raising_every(nth, error):
    def before_call(number):
        if number % nth == 0:
            raise error

    return before_call


@pytest.mark.parametrize("error", [DeviceError, SessionHandleInvalid])
def test_t21_a_blip_once_in_ten_calls_is_retried_and_counted(hsm, engine, error):
    deks = [os.urandom(32) for _number in range(40)]
    hsm.keys["v1"].before_call = raising_every(10, error)

    wraps = engine.wrap(1, [(dek, AAD) for dek in deks])

    assert engine.unwrap([(1, wrap, AAD) for wrap in wraps]) == deks
    assert engine.take_retries() > 0


def test_x44_a_wrap_that_does_not_open_is_no_retry(hsm, engine):
    good, other = engine.wrap(1, [(b"d" * 32, AAD)] * 2)
    altered = other[:-1] + bytes([other[-1] ^ 1])

    engine.unwrap([(1, good, AAD), (1, altered, AAD), (1, good, b"another context")])
    engine.rewrap(2, [(1, altered, AAD, True)])

    assert engine.take_retries() == 0


def asked_for(hsm, call):
    """Return how many decryptions of version 1 a call asked for, without the one of our own pulse afterwards."""
    hsm.keys["v1"].openings = 0
    assert call()[0][0] == "authentication"
    return hsm.keys["v1"].openings - 1


@pytest.mark.parametrize(("refusal", "trial", "asked"), [
    (GeneralError, False, 2),  # may be a blip
    (EncryptedDataInvalid, False, 1),  # says what it means
    (GeneralError, True, 1),  # a refusal is an answer
])  # fmt: skip
def test_x44_a_refusal_that_is_no_blip_is_not_asked_for_twice(hsm, engine, refusal, trial, asked):
    [wrap] = engine.wrap(1, [(b"d" * 32, AAD)])
    hsm.keys["v1"].refusal = refusal

    assert asked_for(hsm, lambda: engine.unwrap([(1, wrap, b"another context")], trial=trial)) == asked


def test_t21_a_general_error_that_passes_is_a_retry(hsm, engine):
    deks = [os.urandom(32) for _number in range(20)]
    wraps = engine.wrap(1, [(dek, AAD) for dek in deks])
    engine.take_retries()
    hsm.keys["v1"].before_call = raising_every(7, GeneralError)
    hsm.keys["v1"].openings = hsm.keys["v1"].sealings = 0

    assert engine.unwrap([(1, wrap, AAD) for wrap in wraps]) == deks
    assert engine.take_retries() == 23 // 7


def test_t34_after_the_session_ended_the_keys_are_looked_up_again(hsm, engine):
    old = hsm.keys["v1"]
    [wrap] = engine.wrap(1, [(b"d" * 32, AAD)])
    old.before_call = raising_every(1, SessionHandleInvalid)
    calls_before = old.calls

    opened = engine.unwrap([(1, wrap, AAD)] * 5)

    assert opened == [b"d" * 32] * 5
    assert hsm.reopened == 1
    assert old.calls == calls_before + 2


@pytest.mark.parametrize(("error", "code"), [(DeviceError, "pkcs11.session_lost")])
def test_an_hsm_that_stays_away_is_named_after_a_bounded_number_of_attempts(hsm, engine, error, code):
    hsm.keys["v1"].before_call = raising_every(1, error)

    with pytest.raises(Refusal) as refused:
        engine.wrap(1, [(b"d" * 32, AAD)])

    assert refused.value.code == code
    assert engine.take_retries() == 9


def test_t27_no_corrupted_wrap_leaves_the_worker(hsm, engine):
    calls = []

    def spoil_every_seventh(output):
        calls.append(1)
        return output[:-1] + bytes([output[-1] ^ 1]) if len(calls) % 7 == 0 else output

    [old] = engine.wrap(1, [(b"d" * 32, AAD)])
    hsm.keys["v2"].spoil = spoil_every_seventh

    results = engine.rewrap(2, [(1, old, AAD, True)] * 70)

    wraps = [result for result in results if isinstance(result, bytes)]
    hsm.keys["v2"].spoil = lambda output: output
    assert len(wraps) == 60
    assert {result[0] for result in results if isinstance(result, tuple)} == {"verification"}
    assert set(engine.unwrap([(2, wrap, AAD) for wrap in wraps])) == {b"d" * 32}


def test_only_wraps_to_be_proved_are_opened_again_and_a_corrupt_one_of_them_is_caught(hsm, engine):
    old = engine.wrap(1, [(bytes([number]) * 32, AAD) for number in range(6)])
    to_prove = {1, 4}
    sealed = []

    def spoil_the_second_and_third(output):
        sealed.append(1)
        return output[:-1] + bytes([output[-1] ^ 1]) if len(sealed) in (2, 3) else output

    old_key, new_key = hsm.keys["v1"], hsm.keys["v2"]
    old_key.sealings = old_key.openings = new_key.sealings = new_key.openings = 0
    new_key.spoil = spoil_the_second_and_third
    results = engine.rewrap(2, [(1, wrap, AAD, place in to_prove) for place, wrap in enumerate(old)])
    counts = [(key.sealings, key.openings) for key in (old_key, new_key)]

    assert counts == [(0, 6), (6, 2)]
    assert results[1][0] == "verification"
    reasons = [item[0] for item in engine.unwrap([(2, results[place], AAD) for place in (0, 2, 3, 4, 5)])]
    assert reasons == [0, "authentication", 3, 4, 5]  # first bytes of the data keys; what nobody proved may be broken


def test_a_wrap_nobody_proves_is_still_held_to_its_iv_rule_and_length(hsm, engine):
    old = engine.wrap(1, [(b"d" * 32, AAD)] * 2)
    hsm.keys["v2"].mode = "in_place"
    [broken_rule] = engine.rewrap(2, [(1, old[0], AAD, False)])
    hsm.keys["v2"].mode = "caller"
    hsm.keys["v2"].spoil = lambda output: output[:-1]

    [broken_length] = engine.rewrap(2, [(1, old[1], AAD, False)])

    assert (broken_rule[0], broken_length[0]) == ("verification", "verification")


def test_t25_altered_bytes_fail_the_item_and_a_sick_key_fails_the_batch(hsm, engine):
    good, other = engine.wrap(1, [(b"d" * 32, AAD)] * 2)
    altered = other[:-1] + bytes([other[-1] ^ 1])

    items = engine.unwrap([(1, good, AAD), (1, altered, AAD), (1, good, b"x"), (3, good, AAD), (1, b"", AAD)])
    hsm.keys["v1"].value = os.urandom(32)  # the HSM answers, but no longer with this key
    with pytest.raises(Refusal) as refused:
        engine.unwrap([(1, good, AAD)])

    assert items[0] == b"d" * 32
    assert [item[0] for item in items[1:]] == ["authentication", "authentication", "unknown_version", "malformed"]
    assert refused.value.code == "pkcs11.session_lost"


def test_a_wrap_of_something_else_than_a_dek_is_malformed(hsm, engine):
    [result] = engine.wrap(1, [(b"short", AAD)])

    assert result[0] == "malformed"


def test_a_version_that_is_not_loaded_is_refused_before_any_call(hsm, engine):
    before = hsm.keys["v1"].calls

    with pytest.raises(Refusal) as refused:
        engine.wrap(9, [(b"d" * 32, AAD)])

    assert refused.value.code == "provider.version_not_loaded"
    assert hsm.keys["v1"].calls == before


def test_t23_a_recorded_check_value_that_differs_is_the_wrong_key(hsm, monkeypatch):
    monkeypatch.setattr(keys, "check_value", lambda key: "aabbcc")

    with pytest.raises(Refusal) as refused:
        Engine(hsm).load({1: ("v1", b"", "ddeeff")})

    assert refused.value.code == "pkcs11.wrong_key"
    assert "wrong key" in refused.value.message
    assert (refused.value.facts["check_value"], refused.value.facts["expected_check_value"]) == ("aabbcc", "ddeeff")
