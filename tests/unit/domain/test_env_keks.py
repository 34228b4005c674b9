# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""KEK variables: what is read, and the one code for each way of being wrong (bar T11)."""

from __future__ import annotations

import pytest
from ansible_collections.certautopilot.ops.plugins.module_utils._domain import env_keks
from ansible_collections.certautopilot.ops.plugins.module_utils._domain.env_keks import PREFIX
from ansible_collections.certautopilot.ops.plugins.module_utils._domain.errors import OpsError
from ansible_collections.certautopilot.ops.plugins.module_utils._domain.secret import Secret

KEY = "0123456789abcdef" * 4
OTHER = "fedcba9876543210" * 4
ORIGIN = "secrets file /etc/certautopilot/secrets.env"


def parse(values, *, origin):
    """Read variables given as text; return the bytes."""
    hidden = {name: Secret(value) for name, value in values.items()}
    return {version: kek.reveal() for version, kek in env_keks.parse(hidden, origin=origin).items()}


def refusal(values):
    with pytest.raises(OpsError) as caught:
        parse(values, origin=ORIGIN)
    return caught.value


def test_every_version_is_read_and_other_variables_are_passed_over():
    keks = parse({f"{PREFIX}1": KEY, f"{PREFIX}12": OTHER, "CERTAUTOPILOT_JWT_SECRET": "x"}, origin=ORIGIN)

    assert keks == {1: bytes.fromhex(KEY), 12: bytes.fromhex(OTHER)}


def test_upper_case_hex_is_the_same_key():
    assert parse({f"{PREFIX}1": KEY.upper()}, origin=ORIGIN) == {1: bytes.fromhex(KEY)}


def test_no_variable_is_no_key_and_no_error():
    assert parse({}, origin=ORIGIN) == {}


BAD_VALUES = [
    ("empty", ""),
    ("whitespace", " " + KEY),
    ("whitespace", KEY + "\n"),
    ("whitespace", KEY[:32] + " " + KEY[32:]),
    ("whitespace", " "),
    ("length", KEY[:-1]),
    ("length", KEY + "0"),
    ("length", KEY[:32]),
    ("length", "0x" + KEY),
    ("not_hex", KEY[:-1] + "g"),
    ("not_hex", "\uff10" * 64),  # full-width digits: str.isdigit() would take them
    ("all_zero", "0" * 64),
]


@pytest.mark.parametrize(("code", "value"), BAD_VALUES)
def test_t11_a_bad_value_is_refused_by_its_own_code_and_never_shown(code, value):
    error = refusal({f"{PREFIX}3": value})

    assert error.code == f"env_kek.{code}"
    assert f"{PREFIX}3" in error.message
    assert ORIGIN in error.message
    assert len(value) < 8 or value not in str(error.as_result())


@pytest.mark.parametrize(("value", "length"), [(KEY[:-1], "63"), (KEY + "0", "65"), (KEY[:32], "32")])
def test_t11_a_wrong_length_is_named(value, length):
    assert length in refusal({f"{PREFIX}1": value}).message


BAD_NAMES = ["V0", "V01", "V-1", "V1x", "V", "V 1", "V1.0", "V\u0661", "V99999999999", "v1", "1"]


@pytest.mark.parametrize("suffix", BAD_NAMES)
def test_t11_a_name_that_is_nearly_a_version_is_refused_not_passed_over(suffix):
    error = refusal({PREFIX.removesuffix("V") + suffix: KEY})

    assert error.code == "env_kek.version_name"
    assert KEY not in str(error.as_result())


def test_t11_two_versions_with_the_same_bytes_are_refused_whatever_their_case():
    error = refusal({f"{PREFIX}1": KEY, f"{PREFIX}2": KEY.upper()})

    assert error.code == "env_kek.duplicate"
    assert KEY not in str(error.as_result()).lower()
