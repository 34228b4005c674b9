# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A token is made in a free slot, and its user PIN is set by the security officer: for pkcs11_token.

Through the function list, because the binding has neither call. PINs come over the pipe, never in argv. Source: PKCS#11
v2.40 base specification, C_InitToken, C_InitPIN.
"""

from __future__ import annotations

try:
    import ctypes
except ImportError:  # a Python built without libffi; then no function of the list can be reached either
    ctypes = None  # type: ignore[assignment]

from .base import Refusal
from .ckr import name_of
from .function_list import Function
from .session import HsmSession

_INIT_TOKEN, _INIT_PIN, _OPEN_SESSION, _CLOSE_SESSION, _LOGIN, _LOGOUT = 9, 10, 12, 13, 18, 19
_CKU_SO, _RW_SERIAL = 0, 6
_LABEL_BYTES = 32
_WRONG = ("CKR_PIN_INCORRECT", "CKR_PIN_INVALID", "CKR_PIN_LOCKED")


def make_token(hsm: HsmSession, slot: int, label: str, so_pin: str, pin: str) -> None:
    """Make a token in a slot that has none, and set its user PIN. Raises Refusal pkcs11.token_not_made.

    A crash between the two leaves a token without a user PIN, which `set_user_pin` completes.
    """
    _require_ctypes()
    padded = label.encode().ljust(_LABEL_BYTES)
    call = _function(hsm, _INIT_TOKEN, ctypes.c_ulong, ctypes.c_char_p, ctypes.c_ulong, ctypes.c_char_p)
    secret = so_pin.encode()
    _require(call(slot, secret, len(secret), padded), "C_InitToken", "nothing was made")
    set_user_pin(hsm, slot, so_pin, pin)


def set_user_pin(hsm: HsmSession, slot: int, so_pin: str, pin: str) -> None:
    """Log in once as the officer and set the user PIN. Raises Refusal pkcs11.so_pin_refused, token_not_made."""
    _require_ctypes()
    number, pointer = ctypes.c_ulong, ctypes.c_void_p
    handle = number()
    opens = _function(hsm, _OPEN_SESSION, number, number, pointer, pointer, pointer)
    _require(opens(slot, _RW_SERIAL, None, None, ctypes.byref(handle)), "C_OpenSession")
    try:
        secret = so_pin.encode()
        login = _function(hsm, _LOGIN, number, number, ctypes.c_char_p, number)
        code = login(handle, _CKU_SO, secret, len(secret))
        if name_of(code) in _WRONG:
            said = f"the token refuses the PIN of the security officer ({name_of(code)}); one login was tried"
            raise Refusal("pkcs11.so_pin_refused", said)
        _require(code, "C_Login of the security officer")
        secret = pin.encode()
        sets = _function(hsm, _INIT_PIN, number, ctypes.c_char_p, number)
        _require(sets(handle, secret, len(secret)), "C_InitPIN")
        _function(hsm, _LOGOUT, number)(handle)
    finally:
        _function(hsm, _CLOSE_SESSION, number)(handle)


def _function(hsm: HsmSession, place: int, *parameters: object) -> Function:
    found = hsm.raw.function(place, *parameters) if hsm.raw is not None else None
    if found is None:
        raise _unreachable()
    return found


def _require_ctypes() -> None:
    if ctypes is None:
        raise _unreachable()


def _unreachable() -> Refusal:
    return Refusal("pkcs11.token_not_made", "the library's function list cannot be reached by this Python")


def _require(code: int, call: str, so: str = "the token has no user PIN yet") -> None:
    if code:
        raise Refusal("pkcs11.token_not_made", f"{call} answers {name_of(code)}; {so}")
