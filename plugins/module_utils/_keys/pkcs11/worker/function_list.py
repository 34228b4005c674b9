# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The module's own function list, and two questions the binding does not ask: session cap, and still logged in?

Reads through the function list with ctypes; every answer may be None, and nobody may depend on one. Source: PKCS#11
v2.40 base specification, CK_FUNCTION_LIST, CK_TOKEN_INFO, CK_SESSION_INFO.
"""

from __future__ import annotations

from .base import Foreign

try:
    import ctypes
except ImportError:  # a Python built without libffi
    ctypes = None  # type: ignore[assignment]

_GET_TOKEN_INFO, _GET_SESSION_INFO = 6, 15  # places in CK_FUNCTION_LIST after the version
_FUNCTIONS = 68  # how many it has since v2.01
_LOGGED_IN_STATES = frozenset({1, 3})  # CKS_RO_USER_FUNCTIONS, CKS_RW_USER_FUNCTIONS
_PR_SET_PDEATHSIG, _SIGKILL = 1, 9


class RawModule:
    """The function list of a module the binding has already initialised."""

    def __init__(self, path: str) -> None:
        self._functions: Foreign = None
        if ctypes is None:
            return
        pointers = ctypes.c_void_p * _FUNCTIONS
        fields = [("version", ctypes.c_ubyte * 2), ("functions", pointers)]
        self._list_type: Foreign = type("FunctionList", (ctypes.Structure,), {"_fields_": fields})
        found: Foreign = ctypes.POINTER(self._list_type)()
        try:
            rv = ctypes.CDLL(path).C_GetFunctionList(ctypes.byref(found))
        except (OSError, AttributeError):
            return
        if rv == 0 and found:
            self._functions = found.contents.functions

    def function(self, place: int, *parameters: Foreign) -> Foreign:
        """Return the function at this place of the list, called with these ctypes; None when it cannot be reached."""
        if self._functions is None or not self._functions[place]:
            return None
        return ctypes.CFUNCTYPE(ctypes.c_ulong, *parameters)(self._functions[place])

    def session_cap(self, slot_id: int) -> int | None:
        """Return how many read-write sessions the token allows, None = unlimited or not told."""
        texts = [("texts", ctypes.c_ubyte * 96), ("flags", ctypes.c_ulong), ("counts", ctypes.c_ulong * 10)]
        info = self._ask(_GET_TOKEN_INFO, slot_id, [*texts, ("rest", ctypes.c_ubyte * 64)])
        if info is None:
            return None
        unavailable = ctypes.c_ulong(-1).value
        limits = [info.counts[0], info.counts[2]]  # ulMaxSessionCount, ulMaxRwSessionCount
        known = [int(limit) for limit in limits if limit not in (0, unavailable)]
        return min(known) if known else None

    def logged_in(self, session_handle: int) -> bool | None:
        """Return whether the session is logged in as the user, None when the module does not say."""
        info = self._ask(_GET_SESSION_INFO, session_handle, [("numbers", ctypes.c_ulong * 4)])
        return None if info is None else int(info.numbers[1]) in _LOGGED_IN_STATES

    def _ask(self, place: int, subject: int, fields: list[tuple[str, Foreign]]) -> Foreign:
        if ctypes is None:
            return None
        call = self.function(place, ctypes.c_ulong, ctypes.c_void_p)
        if call is None:
            return None
        answer = type("Answer", (ctypes.Structure,), {"_fields_": fields})()
        rv = call(subject, ctypes.byref(answer))
        return answer if rv == 0 else None


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
