# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A stand-in for the binding, in this process: HSM keys that follow one IV rule each, and fail when told to.

It shows what the worker makes of answers; crashes, hangs and login state need the real module (tests/integration).
"""

from __future__ import annotations

import os
import types
from collections.abc import Callable

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM


class GeneralError(Exception):
    """CKR_GENERAL_ERROR as the binding names it."""


class MechanismParamInvalid(Exception):
    """CKR_MECHANISM_PARAM_INVALID as the binding names it."""


class DeviceError(Exception):
    """CKR_DEVICE_ERROR as the binding names it."""


class SessionHandleInvalid(Exception):
    """CKR_SESSION_HANDLE_INVALID as the binding names it."""


class GCMParams:
    """The mechanism's parameter; a module writes its own IV into `nonce`."""

    def __init__(self, nonce: bytes, aad: bytes | None = None) -> None:
        self.nonce = nonce
        self.aad = aad


BINDING = types.SimpleNamespace(GCMParams=GCMParams, Mechanism=types.SimpleNamespace(AES_GCM="AES_GCM"))


class FakeKey:
    """An AES-256 key. mode: caller, in_place, in_place_zeroed, appended, appended_in_caller, keeps_zeros, constant."""

    def __init__(self, mode: str = "caller", value: bytes | None = None) -> None:
        self.mode = mode
        self.value = value or os.urandom(32)
        self.handle = id(self)
        self.calls = 0
        self.before_call: Callable[[int], None] = lambda number: None
        self.spoil: Callable[[bytes], bytes] = lambda output: output
        self.zeroed_calls = 0

    def __getitem__(self, name: str) -> object:
        raise KeyError(name)

    def destroy(self) -> None:
        """Do nothing: there is no token."""

    def encrypt(self, plaintext: bytes, *, mechanism: str, mechanism_param: GCMParams, buffer_size: int) -> bytes:
        """Return the sealed bytes, the way the mode says."""
        self.calls += 1
        self.before_call(self.calls)
        offered = mechanism_param.nonce
        self.zeroed_calls += not any(offered)
        iv = self._iv(offered)
        sealed = AESGCM(self.value).encrypt(iv, plaintext, mechanism_param.aad)
        if self.mode.startswith("in_place"):
            mechanism_param.nonce = iv
        return self.spoil(sealed + iv if self.mode == "appended" else sealed)

    def _iv(self, offered: bytes) -> bytes:
        if self.mode == "caller":
            return offered
        if self.mode in ("in_place_zeroed", "keeps_zeros") and any(offered):
            raise MechanismParamInvalid
        if self.mode == "keeps_zeros":
            return offered
        if self.mode == "constant":
            return b"c" * 12
        return os.urandom(12)

    def decrypt(self, sealed: bytes, *, mechanism: str, mechanism_param: GCMParams, buffer_size: int) -> bytes:
        """Return the opened bytes. Raises GeneralError for whatever is wrong, as SoftHSM2 does."""
        self.calls += 1
        self.before_call(self.calls)
        iv = b"c" * 12 if self.mode == "constant" else mechanism_param.nonce
        try:
            return AESGCM(self.value).decrypt(iv, sealed, mechanism_param.aad)
        except InvalidTag:
            raise GeneralError from None
