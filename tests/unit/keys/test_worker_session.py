# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The worker's session when the HSM refuses to open one; what a real module does is in tests/integration/keys."""

from __future__ import annotations

import types

import pytest
from ansible_collections.certautopilot.ops.plugins.module_utils._keys.pkcs11.worker import session
from ansible_collections.certautopilot.ops.plugins.module_utils._keys.pkcs11.worker.base import Refusal

from .fake_binding import DeviceError

CONFIGURATION = {"module_path": "/fake.so", "token_label": "kek", "token_serial": "", "pin": "1234"}


class FakeToken:
    """A token that gives what is in `gives`, one after the other: a session, or an error that it raises."""

    label, serial, flags = "kek", b"1".ljust(16), frozenset()

    def __init__(self, *gives):
        self._gives = iter(gives)

    def open(self, *, rw, user_pin=None):
        given = next(self._gives)
        if isinstance(given, Exception):
            raise given
        return given


def library(token):
    slot = types.SimpleNamespace(get_token=lambda: token)
    slot.slot_id = 0
    nothing = {"initialize": lambda: None, "finalize": lambda: None}
    return types.SimpleNamespace(get_slots=lambda token_present=False: [slot], **nothing)


@pytest.fixture
def hsm(monkeypatch):
    flags = types.SimpleNamespace(USER_PIN_LOCKED="locked", USER_PIN_FINAL_TRY="final", WRITE_PROTECTED="read-only")
    monkeypatch.setattr(session, "pkcs11", types.SimpleNamespace(TokenFlag=flags))
    return session.HsmSession(CONFIGURATION)


def test_a_session_that_the_hsm_refused_to_open_again_is_opened_when_it_is_needed_next(hsm):
    again, tried = object(), types.SimpleNamespace(close=lambda: None)
    hsm._library = library(FakeToken(DeviceError(), tried, again))
    with pytest.raises(DeviceError):
        hsm.reopen()

    assert hsm.session is again
    assert hsm.session is again  # and not once more


def test_a_session_before_the_module_is_loaded_is_refused_by_name(hsm):
    with pytest.raises(Refusal) as refusal:
        _opened = hsm.session

    assert refusal.value.code == "pkcs11.not_open"
    assert "/fake.so" in refusal.value.message
