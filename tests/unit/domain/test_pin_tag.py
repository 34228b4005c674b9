# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A tag knows a PIN again, and does not give it away."""

from __future__ import annotations

import pytest
from ansible_collections.certautopilot.ops.plugins.module_utils._domain import pin_tag
from ansible_collections.certautopilot.ops.plugins.module_utils._domain.secret import Secret
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.hmac import HMAC

SALT = bytes(range(16))


def tag(salt, pin):
    return pin_tag.tag(salt, Secret(pin))


def leftmost_ten_bits(salt, pin):
    """The oracle: another library, and the bits read as text."""
    mac = HMAC(salt, SHA256())
    mac.update(pin.encode())
    return int("".join(f"{byte:08b}" for byte in mac.finalize())[:10], 2)


def test_the_tag_is_the_first_ten_bits_of_the_hmac_of_rfc_4231_case_2():
    assert tag(b"Jefe", "what do ya want for nothing?") == 0x5BDCC146 >> 22


@pytest.mark.parametrize("pin", ["pin-7391", "contraseña-ß", "x" * 255])
@pytest.mark.parametrize("salt", [SALT, b"\xff" * 16])
def test_the_tag_is_that_of_another_library(salt, pin):
    assert tag(salt, pin) == leftmost_ten_bits(salt, pin)


def test_a_refused_pin_hides_among_a_thousandth_of_all_pins():
    ours = tag(SALT, "00073910")

    sharing = sum(tag(SALT, f"{number:08}") == ours for number in range(100_000))

    assert 60 < sharing < 140  # 98 expected; the salt is fixed, so this does not change from run to run


def test_a_tag_uses_all_its_values_and_no_more():
    assert {tag(SALT, f"{number:08}") for number in range(20_000)} == set(range(1024))


@pytest.mark.parametrize("databases", [1, 2, 20])
def test_x32_a_short_pin_hides_among_hundreds_however_many_databases_are_read(databases):
    salts = [bytes([number]) * 16 for number in range(databases)]
    seen = [tag(salt, "7391") for salt in salts]

    left = [pin for pin in (f"{number:04}" for number in range(10_000)) if [tag(salt, pin) for salt in salts] == seen]

    assert 250 < len(left) < 375  # 312 expected
    assert "7391" in left


@pytest.mark.parametrize("length", [4, 6, 7])
def test_x32_of_a_short_pin_five_bits_are_told(length):
    assert {tag(SALT, f"{number:0{length}}") for number in range(9_000)} == set(range(32))
