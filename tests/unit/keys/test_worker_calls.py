# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Prove that an operation is one call, touches only buffers of its own, and leaves nothing active or readable."""

from __future__ import annotations

import ctypes
import os

import pytest
from ansible_collections.certautopilot.ops.plugins.module_utils._keys.pkcs11.worker import gcm_calls
from ansible_collections.certautopilot.ops.plugins.module_utils._keys.pkcs11.worker.gcm_calls import (
    BindingKey,
    OneCallKey,
)

from tests.unit.keys.fake_binding import BINDING, DeviceError, FakeKey, GeneralError, PKCS11Error
from tests.unit.keys.fake_module import FakeModule

AAD = b"a" * 32
IV = bytes(range(1, 13))


@pytest.fixture(autouse=True)
def _binding(monkeypatch):
    monkeypatch.setattr(gcm_calls, "pkcs11", BINDING)


@pytest.fixture
def module():
    return FakeModule()


def raising(error):
    def before_call(_number):
        raise error

    return before_call


def test_each_operation_is_one_call_of_the_module(module):
    fake, dek = FakeKey(), os.urandom(32)
    key = gcm_calls.gcm_key(fake, module)

    sealed, _left = key.encrypt(IV, dek, AAD)
    opened = key.decrypt(IV, sealed, AAD)

    assert opened == dek
    assert module.calls == ["encrypt_init", "encrypt", "decrypt_init", "decrypt"]


@pytest.mark.parametrize("aad", [AAD, b"", bytes(3)])
def test_what_is_sent_is_read_as_it_was_meant(module, aad):
    fake, dek = FakeKey(), bytes(32)  # zeros: nothing may end at the first zero byte
    key = gcm_calls.gcm_key(fake, module)

    sealed, _left = key.encrypt(IV, dek, aad)

    assert gcm_calls.BindingKey(fake).decrypt(IV, sealed, aad) == dek
    assert bool(module.sent[0][3]) is bool(aad)  # no context is a null pointer, as the binding sends it


def test_a_module_writes_its_iv_into_a_buffer_of_ours_and_not_into_the_callers_bytes(module):
    fake = FakeKey("in_place")
    key = gcm_calls.gcm_key(fake, module)
    sent = bytes(bytearray(IV))

    outputs = [key.encrypt(sent, b"d" * 32, AAD) for _number in range(2)]

    assert sent == IV
    assert len({left for _output, left in outputs} | {IV}) == 3
    assert all(fake.open(left, output, AAD) == b"d" * 32 for output, left in outputs)


def test_an_opened_data_key_does_not_stay_in_the_output_buffer(module):
    fake, dek = FakeKey(), os.urandom(32)
    key = gcm_calls.gcm_key(fake, module)
    sealed, _left = fake.seal(IV, dek, AAD)

    opened = key.decrypt(IV, sealed, AAD)

    assert opened == dek
    assert ctypes.string_at(module.outputs[-1], 256) == bytes(256)


def test_a_module_that_demands_a_larger_buffer_gets_it(module):
    fake, dek = FakeKey(), os.urandom(32)
    key = gcm_calls.gcm_key(fake, module)
    module.demands = 4096

    sealed, _left = key.encrypt(IV, dek, AAD)

    assert key.decrypt(IV, sealed, AAD) == dek
    assert module.calls.count("encrypt") == module.calls.count("decrypt") == 2


def test_a_module_that_demands_a_senseless_buffer_is_refused_and_its_operation_ended(module):
    key = gcm_calls.gcm_key(FakeKey(), module)
    module.demands = 1 << 40

    with pytest.raises(PKCS11Error) as refused:
        key.encrypt(IV, b"d" * 32, AAD)
    module.demands = 0
    module.calls.clear()

    assert "0x150" in str(refused.value)
    assert len(key.encrypt(IV, b"d" * 32, AAD)[0]) == 48
    assert module.calls == ["encrypt_init", "encrypt"]  # nothing was left to be ended


@pytest.mark.parametrize("next_call", ["encrypt", "decrypt"])
def test_an_operation_that_a_failed_call_left_active_is_ended_before_the_next(module, next_call):
    fake, dek = FakeKey(), os.urandom(32)
    key = gcm_calls.gcm_key(fake, module)
    sealed, _left = fake.seal(IV, dek, AAD)
    module.leaves_active = True
    fake.before_call = raising(DeviceError)
    with pytest.raises(DeviceError):
        key.encrypt(IV, dek, AAD)
    fake.before_call = lambda number: None

    result = key.encrypt(IV, dek, AAD)[0] if next_call == "encrypt" else key.decrypt(IV, sealed, AAD)

    assert result == (sealed if next_call == "encrypt" else dek)


def test_refusals_come_as_the_bindings_exceptions(module):
    key = gcm_calls.gcm_key(FakeKey(), module)

    with pytest.raises(GeneralError):
        key.decrypt(IV, bytes(48), AAD)


def test_a_code_without_a_name_is_told_by_number():
    error = gcm_calls.error_of(0x80000001)

    assert error.__class__ is PKCS11Error
    assert "0x80000001" in str(error)


@pytest.mark.parametrize("missing", [29, 30, 33, 34])
def test_without_one_of_the_functions_the_binding_serves(module, missing):
    module.missing.add(missing)

    key = gcm_calls.gcm_key(FakeKey(), module)

    assert isinstance(key, BindingKey)
    assert key.decrypt(IV, key.encrypt(IV, b"d" * 32, AAD)[0], AAD) == b"d" * 32
    assert module.calls == []


def test_without_ctypes_or_function_list_the_binding_serves(module, monkeypatch):
    fake = FakeKey()
    kinds = [type(gcm_calls.gcm_key(fake, raw)) for raw in (module, None)]
    monkeypatch.setattr(gcm_calls, "ctypes", None)

    kinds.append(type(gcm_calls.gcm_key(fake, module)))

    assert kinds == [OneCallKey, BindingKey, BindingKey]


def test_the_binding_is_never_handed_a_shared_constant(monkeypatch):
    seen = []
    monkeypatch.setattr(FakeKey, "seal", lambda self, iv, plain, aad: (seen.append(iv), (b"", iv))[1])
    key = BindingKey(FakeKey())

    for _number in range(2):
        key.encrypt(IV, b"d" * 32, AAD)

    assert seen[0] is not seen[1]
    assert not any(one is IV for one in seen)
