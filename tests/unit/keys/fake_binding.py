# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A stand-in for the binding, in this process: HSM keys that follow one IV rule each, and fail when told to.

It shows what the worker makes of answers; crashes, hangs and login state need the real module (tests/integration).
`fake_module.py` puts a function list before the same keys.
"""

from __future__ import annotations

import os
import types
from collections.abc import Callable
from weakref import WeakValueDictionary

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM


class PKCS11Error(RuntimeError):
    """The binding's root, and its class for codes that it has no name for."""


class GeneralError(PKCS11Error):
    """CKR_GENERAL_ERROR as the binding names it."""


class EncryptedDataInvalid(PKCS11Error):
    """CKR_ENCRYPTED_DATA_INVALID as the binding names it."""


class MechanismParamInvalid(PKCS11Error):
    """CKR_MECHANISM_PARAM_INVALID as the binding names it."""


class DeviceError(PKCS11Error):
    """CKR_DEVICE_ERROR as the binding names it."""


class SessionHandleInvalid(PKCS11Error):
    """CKR_SESSION_HANDLE_INVALID as the binding names it."""


class OperationActive(PKCS11Error):
    """CKR_OPERATION_ACTIVE as the binding names it."""


class GCMParams:
    """The mechanism's parameter; a module writes its own IV into `nonce`."""

    def __init__(self, nonce: bytes, aad: bytes | None = None) -> None:
        self.nonce = nonce
        self.aad = aad


ERRORS = (
    PKCS11Error, GeneralError, EncryptedDataInvalid, MechanismParamInvalid, DeviceError, SessionHandleInvalid,
    OperationActive,
)  # fmt: skip
BINDING = types.SimpleNamespace(
    GCMParams=GCMParams,
    Mechanism=types.SimpleNamespace(AES_GCM="AES_GCM"),
    exceptions=types.SimpleNamespace(**{error.__name__: error for error in ERRORS}),
)
SESSION = types.SimpleNamespace(handle=7)
KEYS: WeakValueDictionary[int, FakeKey] = WeakValueDictionary()


class FakeKey:
    """An AES-256 key. mode: caller, in_place, in_place_zeroed, appended, keeps_zeros, constant.

    calls: encryptions and decryptions; sealings, openings: of either kind.
    """

    def __init__(self, mode: str = "caller", value: bytes | None = None) -> None:
        self.mode = mode
        self.value = value or os.urandom(32)
        self.session = SESSION
        self.handle = id(self)
        self.sealings = self.openings = 0
        self.refusal: type[PKCS11Error] = GeneralError
        self.before_call: Callable[[int], None] = lambda number: None
        self.spoil: Callable[[bytes], bytes] = lambda output: output
        self.zeroed_calls = 0
        KEYS[self.handle] = self

    @property
    def calls(self) -> int:
        return self.sealings + self.openings

    def __getitem__(self, name: str) -> object:
        raise KeyError(name)

    def destroy(self) -> None:
        """Do nothing: there is no token."""

    def encrypt(self, plaintext: bytes, *, mechanism: str, mechanism_param: GCMParams, buffer_size: int) -> bytes:
        """Return the sealed bytes, the way the mode says."""
        output, mechanism_param.nonce = self.seal(mechanism_param.nonce, plaintext, mechanism_param.aad)
        return output

    def decrypt(self, sealed: bytes, *, mechanism: str, mechanism_param: GCMParams, buffer_size: int) -> bytes:
        """Return the opened bytes. Raises `refusal` for whatever is wrong: GeneralError, as SoftHSM2 does."""
        return self.open(mechanism_param.nonce, sealed, mechanism_param.aad)

    def seal(self, offered: bytes, plaintext: bytes, aad: bytes | None) -> tuple[bytes, bytes]:
        """Return (output, what is then in the buffer of the IV)."""
        self.sealings += 1
        self.before_call(self.calls)
        self.zeroed_calls += not any(offered)
        iv = self._iv(offered)
        sealed = AESGCM(self.value).encrypt(iv, plaintext, aad)
        output = self.spoil(sealed + iv if self.mode == "appended" else sealed)
        return output, iv if self.mode.startswith("in_place") else offered

    def open(self, iv: bytes, sealed: bytes, aad: bytes | None) -> bytes:
        """Return the opened bytes. Raises `refusal`."""
        self.openings += 1
        self.before_call(self.calls)
        try:
            return AESGCM(self.value).decrypt(b"c" * 12 if self.mode == "constant" else iv, sealed, aad)
        except InvalidTag:
            raise self.refusal from None

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
