# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Prove that env wraps are plain AES-256-GCM and that every kind of bad item fails alone and by name."""

from __future__ import annotations

import os

import pytest
from ansible_collections.certautopilot.ops.plugins.module_utils._domain.errors import OpsError
from ansible_collections.certautopilot.ops.plugins.module_utils._keys.env import EnvProvider
from ansible_collections.certautopilot.ops.plugins.module_utils._keys.provider import (
    KeyFailure,
    UnwrapRequest,
    WrapRequest,
)
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

AAD = b"a" * 32
KEKS = {1: bytes(range(32)), 2: bytes(32)}


def test_a_wrap_is_iv_then_aes_gcm_under_the_kek():
    dek = os.urandom(32)

    [wrapped] = EnvProvider(KEKS).wrap(1, [WrapRequest(dek, AAD)])

    assert len(wrapped) == 60
    assert AESGCM(KEKS[1]).decrypt(wrapped[:12], wrapped[12:], AAD) == dek


def test_a_wrap_made_elsewhere_is_opened():
    dek, iv = os.urandom(32), os.urandom(12)
    wrapped = iv + AESGCM(KEKS[2]).encrypt(iv, dek, None)

    assert EnvProvider(KEKS).unwrap([UnwrapRequest(2, wrapped, b"")]) == [dek]


def test_rewrap_keeps_the_dek_and_draws_a_fresh_iv():
    provider, dek = EnvProvider(KEKS), os.urandom(32)
    [old] = provider.wrap(1, [WrapRequest(dek, AAD)])

    first, second = provider.rewrap(2, [UnwrapRequest(1, old, AAD)] * 2)

    assert first[:12] != second[:12]
    assert AESGCM(KEKS[2]).decrypt(first[:12], first[12:], AAD) == dek


@pytest.mark.parametrize("operation", ["unwrap", "rewrap"])
def test_each_bad_item_fails_alone_with_its_reason(operation):
    provider, dek = EnvProvider(KEKS), os.urandom(32)
    [good] = provider.wrap(1, [WrapRequest(dek, AAD)])
    requests = [
        UnwrapRequest(1, good, AAD),
        UnwrapRequest(1, good[:-1] + bytes([good[-1] ^ 1]), AAD),
        UnwrapRequest(1, good, b"b" * 32),
        UnwrapRequest(2, good, AAD),
        UnwrapRequest(9, good, AAD),
        UnwrapRequest(1, good[:59], AAD),
        UnwrapRequest(1, good, AAD),
    ]

    results = provider.unwrap(requests) if operation == "unwrap" else provider.rewrap(1, requests)

    reasons = [result.reason if isinstance(result, KeyFailure) else "fine" for result in results]
    wanted = ["authentication"] * 3 + ["unknown_version", "malformed"]
    assert reasons == ["fine", *wanted, "fine"]


class CountingCipher:
    """An AES-GCM that counts, and flips a bit of the encryptions whose number is in `spoilt`."""

    def __init__(self, kek, spoilt=()):
        self.cipher, self.spoilt = AESGCM(kek), spoilt
        self.encryptions = self.decryptions = 0

    def encrypt(self, iv, plain, aad):
        self.encryptions += 1
        sealed = self.cipher.encrypt(iv, plain, aad)
        return sealed[:-1] + bytes([sealed[-1] ^ 1]) if self.encryptions in self.spoilt else sealed

    def decrypt(self, iv, sealed, aad):
        self.decryptions += 1
        return self.cipher.decrypt(iv, sealed, aad)


@pytest.mark.parametrize(("prove", "opened"), [(None, 6), ((), 0), ({1, 4}, 2), (range(6), 6), ([5, 5], 1)])
def test_only_the_wraps_to_be_proved_are_opened_again(monkeypatch, prove, opened):
    provider, deks = EnvProvider(KEKS), [os.urandom(32) for _number in range(6)]
    old = provider.wrap(1, [WrapRequest(dek, AAD) for dek in deks])
    counting = CountingCipher(KEKS[2])
    monkeypatch.setitem(provider._ciphers, 2, counting)

    new = provider.rewrap(2, [UnwrapRequest(1, wrap, AAD) for wrap in old], prove=prove)

    assert (counting.encryptions, counting.decryptions) == (6, opened)
    assert [AESGCM(KEKS[2]).decrypt(wrap[:12], wrap[12:], AAD) for wrap in new] == deks


def test_t27_a_corrupt_wrap_is_caught_where_it_is_to_be_proved(monkeypatch):
    provider = EnvProvider(KEKS)
    old = provider.wrap(1, [WrapRequest(os.urandom(32), AAD)] * 4)
    monkeypatch.setitem(provider._ciphers, 2, CountingCipher(KEKS[2], spoilt=(2, 3)))

    new = provider.rewrap(2, [UnwrapRequest(1, wrap, AAD) for wrap in old], prove={0, 1})

    assert [item.reason if isinstance(item, KeyFailure) else len(item) for item in new] == [60, "verification", 60, 60]


@pytest.mark.parametrize("place", [-1, 2])
def test_a_place_to_prove_that_the_batch_does_not_have_is_a_mistake_of_the_caller(place):
    provider = EnvProvider(KEKS)
    old = provider.wrap(1, [WrapRequest(os.urandom(32), AAD)] * 2)

    with pytest.raises(ValueError, match=str(place)):
        provider.rewrap(2, [UnwrapRequest(1, wrap, AAD) for wrap in old], prove=[place])


def test_a_dek_of_another_length_is_malformed():
    [result] = EnvProvider(KEKS).wrap(1, [WrapRequest(b"short", AAD)])

    assert isinstance(result, KeyFailure)
    assert result.reason == "malformed"


def test_the_check_value_is_the_head_of_aes_over_zeros():
    # FIPS 197's cipher over a zero block under a zero 256-bit key begins dc 95 c0 (NIST CAVP, ECBVarKey256, count 0).
    assert EnvProvider(KEKS).check_value(2) == "dc95c0"


@pytest.mark.parametrize("call", [lambda p: p.wrap(9, []), lambda p: p.rewrap(9, []), lambda p: p.check_value(9)])
def test_a_version_that_is_not_loaded_is_refused(call):
    with pytest.raises(OpsError) as refused:
        call(EnvProvider(KEKS))

    assert refused.value.code == "provider.version_not_loaded"


def test_a_kek_of_another_length_is_refused_by_version():
    with pytest.raises(OpsError) as refused:
        EnvProvider({3: bytes(31)})

    assert (refused.value.code, refused.value.facts["version"]) == ("env.kek_malformed", 3)


def test_no_key_shows_in_the_repr():
    text = repr(EnvProvider(KEKS))

    assert text == "EnvProvider(versions=(1, 2))"
