# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The function list that the binding uses, and what the binding does not do: session cap, logged in, a login alone.

Reads through the function list with ctypes; every answer may be None, and nobody may depend on one. Source: PKCS#11
v2.40 base specification, CK_FUNCTION_LIST, CK_TOKEN_INFO, CK_SESSION_INFO.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

try:
    import ctypes
except ImportError:  # a Python built without libffi
    ctypes = None  # type: ignore[assignment]

# Places in CK_FUNCTION_LIST after the version.
_GET_INFO, _GET_TOKEN_INFO, _GET_SESSION_INFO, _LOGIN, _LOGOUT = 2, 6, 15, 18, 19
_CKU_USER = 1
_INFO_ROOM = 256  # bytes: more than CK_INFO has
_FUNCTIONS = 68  # how many it has since v2.01
_LOGGED_IN_STATES = frozenset({1, 3})  # CKS_RO_USER_FUNCTIONS, CKS_RW_USER_FUNCTIONS
_PR_SET_PDEATHSIG, _SIGKILL = 1, 9

Function: TypeAlias = Callable[..., int]
"""A function of the list: it returns a CKR code."""

if ctypes is not None:

    class _FunctionList(ctypes.Structure):
        """CK_FUNCTION_LIST."""

        _fields_ = (("version", ctypes.c_ubyte * 2), ("functions", ctypes.c_void_p * _FUNCTIONS))

    class _TokenInfo(ctypes.Structure):
        """CK_TOKEN_INFO: label, manufacturer, model and serial number, flags, ten counts, versions and time."""

        _fields_ = (
            ("texts", ctypes.c_ubyte * 96),
            ("flags", ctypes.c_ulong),
            ("counts", ctypes.c_ulong * 10),
            ("rest", ctypes.c_ubyte * 64),
        )

    class _SessionInfo(ctypes.Structure):
        """CK_SESSION_INFO: slot, state, flags, device error."""

        _fields_ = (("numbers", ctypes.c_ulong * 4),)


class RawModule:
    """The function list that the binding has initialised. library: the binding's, None where only the path is known.

    WHY not simply C_GetFunctionList: p11-kit-proxy answers each call with another list, and what the binding did with
    its own one, C_Initialize and the sessions, the second one does not know (X56).
    """

    def __init__(self, path: str, library: object = None) -> None:
        self._functions: ctypes.Array[ctypes.c_void_p] | None = None
        if ctypes is None:
            return
        for address in (function_list_of(library), _function_list_at(path)):
            if address is None:
                continue
            self._functions = _FunctionList.from_address(address).functions
            if self._is_initialised():
                return
        self._functions = None

    def _is_initialised(self) -> bool:
        call = self.function(_GET_INFO, ctypes.c_void_p)
        return call is not None and call(ctypes.byref(ctypes.create_string_buffer(_INFO_ROOM))) == 0

    def function(self, place: int, *parameters: Any) -> Function | None:
        """Return the function at this place of the list, called with these ctypes; None when it cannot be reached."""
        address = self._functions[place] if self._functions is not None else None
        return ctypes.CFUNCTYPE(ctypes.c_ulong, *parameters)(address) if address else None

    def session_cap(self, slot_id: int) -> int | None:
        """Return how many read-write sessions the token allows, None = unlimited or not told."""
        if ctypes is None:
            return None
        info = _TokenInfo()
        if not self._tells(_GET_TOKEN_INFO, slot_id, info):
            return None
        unavailable = ctypes.c_ulong(-1).value
        limits = [info.counts[0], info.counts[2]]  # ulMaxSessionCount, ulMaxRwSessionCount
        known = [int(limit) for limit in limits if limit not in (0, unavailable)]
        return min(known) if known else None

    def logged_in(self, session_handle: int) -> bool | None:
        """Return whether the session is logged in as the user, None when the module does not say."""
        if ctypes is None:
            return None
        info = _SessionInfo()
        return (
            int(info.numbers[1]) in _LOGGED_IN_STATES if self._tells(_GET_SESSION_INFO, session_handle, info) else None
        )

    def login(self, session_handle: int, pin: bytes) -> int | None:
        """Return the CKR code of C_Login as the user, None when C_Login cannot be reached and was not called."""
        call = self.function(_LOGIN, ctypes.c_ulong, ctypes.c_ulong, ctypes.c_char_p, ctypes.c_ulong)
        return None if call is None else call(session_handle, _CKU_USER, pin, len(pin))

    def logout(self, session_handle: int) -> None:
        """Call C_Logout, whatever it answers."""
        call = self.function(_LOGOUT, ctypes.c_ulong)
        if call is not None:
            call(session_handle)

    def _tells(self, place: int, subject: int, answer: ctypes.Structure) -> bool:
        """Return whether the module filled in the answer about a slot or session."""
        call = self.function(place, ctypes.c_ulong, ctypes.c_void_p)
        return call is not None and call(subject, ctypes.byref(answer)) == 0


def function_list_of(library: object) -> int | None:
    """Return the address of the function list that a library of the binding holds, None where it is not surely that.

    SAFE BECAUSE the address is only followed where it and every function in it are in memory that this process may
    read and run; a binding that keeps something else there is then not believed.
    """
    bases = [base for base in type(library).__mro__ if base.__name__ == "HasFuncList"]
    if not bases or "__pyx_vtable__" in vars(bases[0]):
        return None
    address = ctypes.c_void_p.from_address(id(library) + object.__basicsize__).value
    readable, runnable = _mapped()
    if not address or not _within(address, ctypes.sizeof(_FunctionList), readable):
        return None
    found = _FunctionList.from_address(address)
    known = all(_within(function, 1, runnable) for function in found.functions if function)
    return address if found.version[0] in (2, 3) and found.functions[_LOGIN] and known else None


def _function_list_at(path: str) -> int | None:
    found = ctypes.c_void_p()
    try:
        rv = ctypes.CDLL(path).C_GetFunctionList(ctypes.byref(found))
    except (OSError, AttributeError):
        return None
    return found.value if rv == 0 else None


def _mapped() -> tuple[list[tuple[int, int]], list[tuple[int, int]]]:
    """Return the ranges of memory that this process may read, and those that it may run; none where nobody tells."""
    readable, runnable = [], []
    try:
        with open("/proc/self/maps", encoding="utf-8", errors="replace") as maps:
            lines = maps.read().splitlines()
    except OSError:
        return [], []
    for line in lines:
        place, rights = line.split()[:2]
        start, end = (int(part, 16) for part in place.split("-"))
        if "r" in rights:
            readable.append((start, end))
        if "x" in rights:
            runnable.append((start, end))
    return readable, runnable


def _within(address: int, length: int, ranges: list[tuple[int, int]]) -> bool:
    return any(start <= address and address + length <= end for start, end in ranges)


def die_with_parent() -> None:
    """Ask the kernel to kill this process when its parent dies. Where it cannot, end of file on the pipe remains.

    SAFE BECAUSE modules start workers from their only thread: the signal follows the thread that forked.
    """
    if ctypes is None:
        return
    try:
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, _SIGKILL, 0, 0, 0)
    except (OSError, AttributeError):
        return
