# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A device's wraps are believed when the payload opens with what is in them."""

from __future__ import annotations

import os

import pytest
from ansible_collections.certautopilot.ops.plugins.module_utils._domain import envelope_layout
from ansible_collections.certautopilot.ops.plugins.module_utils._domain.catalogue import Found
from ansible_collections.certautopilot.ops.plugins.module_utils._domain.envelope import parse
from ansible_collections.certautopilot.ops.plugins.module_utils._installation.sealing import Sealing
from ansible_collections.certautopilot.ops.plugins.module_utils._keys.env import EnvProvider
from ansible_collections.certautopilot.ops.plugins.module_utils._keys.provider import KeyFailure
from ansible_collections.certautopilot.ops.plugins.module_utils._rotation.batch import checked
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from tests.support.sealed import envelope

FIELD = "encrypted_api_key"


class Device(EnvProvider):
    """Counts what it opens."""

    def __init__(self, keks):
        super().__init__(keks)
        self.asked = 0

    def unwrap(self, requests):
        self.asked += len(requests)
        return super().unwrap(requests)


@pytest.fixture
def keks():
    return {1: os.urandom(32), 2: os.urandom(32)}


@pytest.fixture
def device(keks):
    return Device(keks)


def asked_for(device, values):
    sealing = Sealing(device, envelope_layout.DEFAULT)
    asked = []
    for number, value in enumerate(values):
        found = Found("dns_credentials", number, (FIELD,), value)
        asked.append((found, parse(value), sealing.unwrap_request(found, parse(value))))
    return sealing, asked


def wrapped(kek, dek, aad):
    iv = os.urandom(12)
    return iv + AESGCM(kek).encrypt(iv, dek, aad)


def good_wraps(device, asked):
    return device.rewrap(2, [request for _found, _envelope, request in asked], prove=())


def test_right_wraps_stand_and_each_costs_one_opening(device, keks):
    sealing, asked = asked_for(device, [envelope(keks[1], n, FIELD, b"x") for n in range(3)])
    wraps = good_wraps(device, asked)

    assert checked(sealing, 2, asked, wraps, None) == wraps
    assert device.asked == 3


def test_t27_another_data_key_is_found_though_its_wrap_opens(device, keks):
    sealing, asked = asked_for(device, [envelope(keks[1], n, FIELD, b"x") for n in range(3)])
    wraps = good_wraps(device, asked)
    wraps[1] = wrapped(keks[2], os.urandom(32), asked[1][2].aad)

    proved = checked(sealing, 2, asked, wraps, None)

    assert (proved[0], proved[2]) == (wraps[0], wraps[2])
    assert isinstance(proved[1], KeyFailure)
    assert proved[1].reason == "verification"


def test_bytes_that_do_not_open_are_found(device, keks):
    sealing, asked = asked_for(device, [envelope(keks[1], 0, FIELD, b"x")])

    (proved,) = checked(sealing, 2, asked, [os.urandom(60)], None)

    assert proved.reason == "verification"


def test_only_chosen_wraps_are_opened_and_failures_pass_through(device, keks):
    sealing, asked = asked_for(device, [envelope(keks[1], n, FIELD, b"x") for n in range(3)])
    wraps = good_wraps(device, asked)
    wraps[0], wraps[2] = os.urandom(60), KeyFailure("authentication")

    assert checked(sealing, 2, asked, wraps, {1, 2}) == wraps
    assert device.asked == 1


def test_a_payload_that_was_damaged_before_is_no_fault_of_the_wrap(device, keks):
    damaged = {**envelope(keks[1], 0, FIELD, b"x"), "ciphertext": os.urandom(17)}
    sealing, asked = asked_for(device, [damaged])
    wraps = good_wraps(device, asked)

    assert checked(sealing, 2, asked, wraps, None) == wraps


def test_t27_a_wrong_key_over_a_damaged_payload_is_not_believed(device, keks):
    damaged = {**envelope(keks[1], 0, FIELD, b"x"), "ciphertext": os.urandom(17)}
    sealing, asked = asked_for(device, [damaged])

    (proved,) = checked(sealing, 2, asked, [wrapped(keks[2], os.urandom(32), asked[0][2].aad)], None)

    assert isinstance(proved, KeyFailure)
