# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The stand-in keeps to token_serial and use_gcm_iv_from_hsm of config.yaml, with two tokens of one label."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

from tests.integration.token import PIN, Token
from tests.support import hsm_shim, softhsm
from tests.support.processes import repository_environment

# In a process of its own, as every use of a library. Prints the wrap and what opens of it.
WRAP = """
import json, sys
from tests.support.service.config import Config
from tests.support.service.keks import Token
told = json.load(sys.stdin)
token = Token(Config(provider="pkcs11", uri="", database="", host="", port=0, instance="", keks={}, **told))
kek = token.generate("kek", b"1")
wrap = kek.wrap(b"d" * 32, b"context")
print(json.dumps([wrap.hex(), kek.unwrap(wrap, b"context").decode()]))
"""


@pytest.fixture
def wrapped(tmp_path):
    """Return a function: settings of the token, faults of the shim -> (what was printed, standard error)."""
    conf = softhsm.configuration(tmp_path / "hsm")

    def run(serial="", iv_from_hsm=False, **faults):
        variables = {**repository_environment(), "SOFTHSM2_CONF": str(conf), **hsm_shim.environment(**faults)}
        library = hsm_shim.build(tmp_path) if faults else softhsm.module_path()
        told = {"module_path": library, "token_label": "twice", "pin": PIN, "token_serial": serial}
        done = subprocess.run(
            [sys.executable, "-c", WRAP], input=json.dumps({**told, "iv_from_hsm": iv_from_hsm}),
            env={**os.environ, **variables}, capture_output=True, text=True, check=False,
        )  # fmt: skip
        return json.loads(done.stdout) if done.returncode == 0 else None, done.stderr

    run.token = Token(str(conf), "twice")
    return run


def test_of_two_tokens_of_one_label_the_one_with_the_serial_is_used_and_none_without(wrapped):
    serials = [wrapped.token.oracle("init") for _token in range(2)]

    none, refused = wrapped()
    used, errors = wrapped(serial=serials[1])
    absent, unknown = wrapped(serial="0" * 16)

    assert (none, absent) == (None, None)
    assert '2 tokens are labelled "twice", expected one' in refused
    assert f'0 tokens are labelled "twice" with serial {"0" * 16}, expected one' in unknown
    assert used is not None, errors


@pytest.mark.parametrize("way", ["in_place_zeroed", "appended"])
def test_an_iv_that_the_hsm_makes_is_in_the_wrap_and_opens_it(wrapped, way):
    if hsm_shim.compiler() is None:
        pytest.skip(hsm_shim.NO_COMPILER)
    wrapped.token.oracle("init")

    used, errors = wrapped(iv_from_hsm=True, iv=way)

    assert used is not None, errors
    wrap, opened = used
    assert (len(bytes.fromhex(wrap)), opened) == (60, "d" * 32)
    assert any(bytes.fromhex(wrap)[:12])


def test_an_hsm_that_makes_none_is_named(wrapped):
    wrapped.token.oracle("init")

    used, errors = wrapped(iv_from_hsm=True)

    assert used is None
    assert "the HSM made no IV" in errors
