# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The module's own function list, and two questions the binding does not ask: session cap, and still logged in?

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

_GET_TOKEN_INFO, _GET_SESSION_INFO = 6, 15  # places in CK_FUNCTION_LIST after the version
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
    """The function list of a module the binding has already initialised."""

    def __init__(self, path: str) -> None:
        self._functions: ctypes.Array[ctypes.c_void_p] | None = None
        if ctypes is None:
            return
        found = ctypes.POINTER(_FunctionList)()
        try:
            rv = ctypes.CDLL(path).C_GetFunctionList(ctypes.byref(found))
        except (OSError, AttributeError):
            return
        if rv == 0 and found:
            self._functions = found.contents.functions

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

    def _tells(self, place: int, subject: int, answer: ctypes.Structure) -> bool:
        """Return whether the module filled in the answer about a slot or session."""
        call = self.function(place, ctypes.c_ulong, ctypes.c_void_p)
        return call is not None and call(subject, ctypes.byref(answer)) == 0


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
