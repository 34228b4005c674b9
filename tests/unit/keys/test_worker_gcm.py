# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Prove that a module's IV rule is found by trying, held to, and never gives a zero or repeated IV (T26, T28)."""

from __future__ import annotations

import os

import pytest
from ansible_collections.certautopilot.ops.plugins.module_utils._keys.pkcs11.worker import gcm_calls, iv_rule
from ansible_collections.certautopilot.ops.plugins.module_utils._keys.pkcs11.worker.base import Refusal
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from tests.unit.keys.fake_binding import BINDING, FakeKey
from tests.unit.keys.fake_module import FakeModule

RULES = {
    "caller": ("caller", False),
    "in_place": ("in_place", False),
    "in_place_zeroed": ("in_place", True),
    "appended": ("appended", False),
}


@pytest.fixture(params=["through the binding", "in one call"])
def usable(request, monkeypatch):
    """Return a function that makes a fake HSM key one that the worker can use, both ways."""
    monkeypatch.setattr(gcm_calls, "pkcs11", BINDING)
    module = FakeModule() if request.param == "in one call" else None
    return lambda key: gcm_calls.gcm_key(key, module)


@pytest.mark.parametrize("mode", RULES)
def test_t26_each_iv_rule_is_found_by_trying(usable, mode):
    rule = iv_rule.find_iv_rule(usable(FakeKey(mode)), ephemeral=True)

    assert (rule.mode, rule.zeroed) == RULES[mode]


@pytest.mark.parametrize("mode", RULES)
def test_t26_wraps_under_each_rule_open_elsewhere_and_share_no_iv(usable, mode):
    key, dek, aad = FakeKey(mode), os.urandom(32), os.urandom(32)
    rule = iv_rule.find_iv_rule(usable(key), ephemeral=True)

    wraps = [iv_rule.make_wrap(usable(key), dek, aad, rule) for _number in range(500)]

    assert {len(wrap) for wrap in wraps} == {60}
    assert len({wrap[:12] for wrap in wraps}) == 500
    assert {AESGCM(key.value).decrypt(wrap[:12], wrap[12:], aad) for wrap in wraps} == {dek}


@pytest.mark.parametrize("mode", ["keeps_zeros", "constant"])
def test_t26_a_module_that_keeps_zeros_or_repeats_its_iv_is_refused(usable, mode):
    with pytest.raises(Refusal) as refused:
        iv_rule.find_iv_rule(usable(FakeKey(mode)), ephemeral=True)

    assert refused.value.code == "pkcs11.probe_failed"


def test_t26_a_kek_is_never_offered_a_zeroed_iv(usable):
    key = FakeKey("in_place_zeroed")

    with pytest.raises(Refusal):
        iv_rule.find_iv_rule(usable(key), ephemeral=False)

    assert key.zeroed_calls == 0


@pytest.mark.parametrize(("before", "after"), [("in_place", "caller"), ("caller", "in_place"), ("caller", "appended")])
def test_t26_a_module_that_changes_its_rule_later_is_caught(usable, before, after):
    key = FakeKey(before)
    rule = iv_rule.find_iv_rule(usable(key), ephemeral=True)
    key.mode = after

    with pytest.raises(iv_rule.BrokenWrap):
        iv_rule.make_wrap(usable(key), os.urandom(32), b"", rule)


def test_a_module_that_opens_forged_ciphertexts_is_refused(usable, monkeypatch):
    key = FakeKey()
    opened = {}
    seal = key.seal
    monkeypatch.setattr(key, "seal", lambda iv, plain, aad: opened.setdefault("plain", plain) and seal(iv, plain, aad))
    monkeypatch.setattr(key, "open", lambda iv, sealed, aad: opened["plain"])

    with pytest.raises(Refusal) as refused:
        iv_rule.find_iv_rule(usable(key), ephemeral=True)

    assert refused.value.code == "pkcs11.probe_failed"
