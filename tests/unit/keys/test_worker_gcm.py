# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Prove that a module's IV rule is found by trying, held to, and never gives a zero or repeated IV (T26, T28)."""

from __future__ import annotations

import os

import pytest
from ansible_collections.certautopilot.ops.plugins.module_utils._keys.pkcs11 import worker_gcm
from ansible_collections.certautopilot.ops.plugins.module_utils._keys.pkcs11.worker_base import Refusal
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from tests.unit.keys.fake_binding import BINDING, FakeKey

RULES = {
    "caller": ("caller", False),
    "in_place": ("in_place", False),
    "in_place_zeroed": ("in_place", True),
    "appended": ("appended", False),
}


@pytest.fixture(autouse=True)
def _binding(monkeypatch):
    monkeypatch.setattr(worker_gcm, "pkcs11", BINDING)


@pytest.mark.parametrize("mode", RULES)
def test_t26_each_iv_rule_is_found_by_trying(mode):
    rule = worker_gcm.find_iv_rule(FakeKey(mode), ephemeral=True)

    assert (rule.mode, rule.zeroed) == RULES[mode]


@pytest.mark.parametrize("mode", RULES)
def test_t26_wraps_under_each_rule_open_elsewhere_and_share_no_iv(mode):
    key, dek, aad = FakeKey(mode), os.urandom(32), os.urandom(32)
    rule = worker_gcm.find_iv_rule(key, ephemeral=True)

    wraps = [worker_gcm.make_wrap(key, dek, aad, rule) for _number in range(500)]

    assert {len(wrap) for wrap in wraps} == {60}
    assert len({wrap[:12] for wrap in wraps}) == 500
    assert {AESGCM(key.value).decrypt(wrap[:12], wrap[12:], aad) for wrap in wraps} == {dek}


@pytest.mark.parametrize("mode", ["keeps_zeros", "constant"])
def test_t26_a_module_that_keeps_zeros_or_repeats_its_iv_is_refused(mode):
    with pytest.raises(Refusal) as refused:
        worker_gcm.find_iv_rule(FakeKey(mode), ephemeral=True)

    assert refused.value.code == "pkcs11.probe_failed"


def test_t26_a_kek_is_never_offered_a_zeroed_iv():
    key = FakeKey("in_place_zeroed")

    with pytest.raises(Refusal):
        worker_gcm.find_iv_rule(key, ephemeral=False)

    assert key.zeroed_calls == 0


@pytest.mark.parametrize(("before", "after"), [("in_place", "caller"), ("caller", "in_place"), ("caller", "appended")])
def test_t26_a_module_that_changes_its_rule_later_is_caught(before, after):
    key = FakeKey(before)
    rule = worker_gcm.find_iv_rule(key, ephemeral=True)
    key.mode = after

    with pytest.raises(worker_gcm.BrokenWrap):
        worker_gcm.make_wrap(key, os.urandom(32), b"", rule)


def test_a_module_that_opens_forged_ciphertexts_is_refused(monkeypatch):
    key = FakeKey()
    opened = {}
    sealed_by = key.encrypt
    monkeypatch.setattr(
        key, "encrypt", lambda plain, **rest: opened.setdefault("plain", plain) and sealed_by(plain, **rest)
    )
    monkeypatch.setattr(key, "decrypt", lambda sealed, **rest: opened["plain"])

    with pytest.raises(Refusal) as refused:
        worker_gcm.find_iv_rule(key, ephemeral=True)

    assert refused.value.code == "pkcs11.probe_failed"


def test_a_shared_constant_is_never_handed_to_the_module():
    seen = []
    key = FakeKey()
    key.before_call = lambda number: None
    encrypt = key.encrypt
    key.encrypt = lambda plain, **rest: (seen.append(rest["mechanism_param"].nonce), encrypt(plain, **rest))[1]
    rule = worker_gcm.IvRule("caller", False)

    worker_gcm.make_wrap(key, os.urandom(32), b"", rule)
    worker_gcm.make_wrap(key, os.urandom(32), b"", rule)

    assert seen[0] is not seen[1]
