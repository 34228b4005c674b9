# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Prove on the real workers that each way of making the IV gives wraps of one form, and no IV twice (T26, T28)."""

from __future__ import annotations

import os

import pytest
from ansible_collections.certautopilot.ops.plugins.module_utils._domain.errors import OpsError
from ansible_collections.certautopilot.ops.plugins.module_utils._keys.pkcs11.jobs import PoolOptions
from ansible_collections.certautopilot.ops.plugins.module_utils._keys.provider import KeyFailure, UnwrapRequest

from tests.integration.keys.conftest import AAD, reference, software_opens, unwrap_requests, wrap_requests

WAYS = {
    "caller": ("caller", False),
    "in_place": ("in_place", False),
    "in_place_zeroed": ("in_place", True),
    "appended": ("appended", False),
    "null_appended": ("appended", False),
}


@pytest.mark.parametrize(("way", "found"), WAYS.items())
def test_t26_the_probe_finds_how_the_iv_is_made(opened, shim, way, found):
    probed = opened(**shim.faults(iv=way)).probe()

    assert (probed["iv_mode"], probed["iv_zeroed"]) == found


@pytest.mark.parametrize("way", WAYS)
def test_t26_t28_twenty_thousand_wraps_open_in_software_and_no_two_share_an_iv(known_keys, loaded, shim, way):
    provider = loaded(PoolOptions(workers=2), **shim.faults(iv=way))
    asked = wrap_requests(10_000)

    old = provider.wrap(1, asked)
    new = provider.rewrap(2, unwrap_requests(1, old))

    assert software_opens(known_keys[1], old, asked)
    assert software_opens(known_keys[2], new, asked)
    assert {len(wrap) for wrap in (*old, *new)} == {60}
    assert len({wrap[:12] for wrap in (*old, *new)}) == 20_000


@pytest.mark.parametrize("way", WAYS)
def test_t26_wraps_made_elsewhere_are_opened_whatever_the_way(known_keys, loaded, shim, way):
    provider, dek, iv = loaded(**shim.faults(iv=way)), os.urandom(32), os.urandom(12)
    wrapped = iv + known_keys[1].encrypt(iv, dek, AAD)

    assert provider.unwrap([UnwrapRequest(1, wrapped, AAD)]) == [dek]


def test_x58_a_module_that_takes_no_iv_but_makes_96_bits_is_asked_that_way(opened, shim):
    assert opened(**shim.faults(iv="null_appended")).probe()["iv_offered"] == "none"


@pytest.mark.parametrize(
    ("way", "code", "told"),
    [
        ("appended_16", "pkcs11.iv_length", "appends an IV of its own of 16 bytes"),
        ("refused", "pkcs11.probe_failed", "no IV, ulIvLen 0 and ulIvBits 96: CKR_MECHANISM_PARAM_INVALID"),
    ],
)
def test_x58_the_way_that_we_cannot_use_is_named_and_no_kek_sealed_by_it(known_keys, opened, shim, way, code, told):
    provider = opened(**shim.faults(iv=way))

    with pytest.raises(OpsError) as refused:
        provider.load({1: reference(1)})

    assert refused.value.code == code
    assert told in refused.value.message


def test_t26_a_module_that_keeps_zeros_is_refused_by_the_probe_and_never_seals_with_a_kek(
    hsm, known_keys, opened, shim
):
    provider = opened(**shim.faults(iv="keeps_zeros"))

    refusals = []
    for call in (provider.probe, lambda: provider.load({1: reference(1)})):
        with pytest.raises(OpsError) as refused:
            call()
        refusals.append(refused.value)

    assert {error.code for error in refusals} == {"pkcs11.probe_failed"}
    assert all("keeps a zeroed IV" in error.message for error in refusals)
    # Two encryptions each, by keys made for the probe that die with the session.
    assert shim.counters()["encrypted"] == 4
    assert len(hsm.oracle("keys")) == len(known_keys)


@pytest.mark.parametrize("way", ["in_place", "in_place_zeroed"])
def test_t26_a_module_that_stops_making_its_iv_seals_nothing_more(known_keys, loaded, shim, way):
    provider = loaded(**shim.faults(iv=way, iv_kept_after=100))
    asked = wrap_requests(150)

    results = provider.wrap(1, asked)

    fine = [result for result in results if isinstance(result, bytes)]
    kept = [result for result in results if isinstance(result, KeyFailure)]
    assert software_opens(known_keys[1], fine, asked[: len(fine)])
    assert 0 < len(fine) < 100
    assert {result.reason for result in kept} == {"verification"}
    assert len(fine) + len(kept) == len(asked)
