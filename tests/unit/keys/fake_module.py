# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The function list of a module over the fake keys: real C pointers, read and written as a module would.

The layout of what arrives is written down here once more, by hand from PKCS#11 v2.40, errata 01.
"""

from __future__ import annotations

import ctypes
import struct
from typing import Any

from tests.unit.keys.fake_binding import (
    KEYS,
    SESSION,
    DeviceError,
    EncryptedDataInvalid,
    FakeKey,
    GeneralError,
    MechanismParamInvalid,
    SessionHandleInvalid,
)

CODES = {
    GeneralError: 0x05, EncryptedDataInvalid: 0x40, MechanismParamInvalid: 0x71, DeviceError: 0x30,
    SessionHandleInvalid: 0xB3,
}  # fmt: skip
CKM_AES_GCM, OPERATION_ACTIVE, OPERATION_NOT_INITIALIZED, BUFFER_TOO_SMALL = 0x1087, 0x90, 0x91, 0x150
MECHANISM, GCM_PARAMS = "LPL", "PLLPLL"
NUMBER, POINTER = ctypes.c_ulong, ctypes.c_void_p


class FakeModule:
    """Stands for `function_list.RawModule`. calls: the names of the functions that were called.

    demands: bytes that an output buffer must have. leaves_active: an operation that failed is not ended.
    """

    def __init__(self) -> None:
        self.calls: list[str] = []
        self.sent: list[tuple[int, ...]] = []
        self.outputs: list[int] = []
        self.demands = 0
        self.leaves_active = False
        self.missing: set[int] = set()
        self._active: tuple[str, FakeKey, int, int, bytes | None] | None = None
        begin, call, final = (
            (NUMBER, POINTER, NUMBER),
            (NUMBER, POINTER, NUMBER, POINTER, POINTER),
            (NUMBER, *[POINTER] * 2),
        )
        self._functions = {
            29: (begin, lambda *given: self._begin("encrypt", *given)),
            30: (call, lambda *given: self._call("encrypt", *given)),
            32: (final, lambda *given: self._final("encrypt", *given)),
            33: (begin, lambda *given: self._begin("decrypt", *given)),
            34: (call, lambda *given: self._call("decrypt", *given)),
            36: (final, lambda *given: self._final("decrypt", *given)),
        }

    def function(self, place: int, *_parameters: Any) -> Any:
        """Return the C function at this place of CK_FUNCTION_LIST; its parameters are declared here, not there."""
        if place in self.missing:
            return None
        types, function = self._functions[place]
        return ctypes.CFUNCTYPE(NUMBER, *types)(function)

    def _begin(self, name: str, session: int, mechanism: int, handle: int) -> int:
        self.calls.append(f"{name}_init")
        if session != SESSION.handle:
            return CODES[SessionHandleInvalid]
        if self._active is not None:
            return OPERATION_ACTIVE
        number, parameter, length = struct.unpack(MECHANISM, ctypes.string_at(mechanism, struct.calcsize(MECHANISM)))
        if (number, length) != (CKM_AES_GCM, struct.calcsize(GCM_PARAMS)):
            return CODES[MechanismParamInvalid]
        sent = struct.unpack(GCM_PARAMS, ctypes.string_at(parameter, length))
        self.sent.append(sent)
        iv, iv_length, iv_bits, aad, aad_length, tag_bits = sent
        if (iv_length, iv_bits, tag_bits) != (12, 96, 128):
            return CODES[MechanismParamInvalid]
        self._active = (name, KEYS[handle], iv, iv_length, ctypes.string_at(aad, aad_length) if aad else None)
        return 0

    def _call(self, name: str, _session: int, data: int, length: int, output: int, room: int) -> int:
        self.calls.append(name)
        if self._active is None or self._active[0] != name:
            return OPERATION_NOT_INITIALIZED
        given = ctypes.cast(room, ctypes.POINTER(NUMBER))
        if given[0] < self.demands:
            given[0] = self.demands
            return BUFFER_TOO_SMALL
        _name, key, iv, iv_length, aad = self._active
        try:
            offered, body = ctypes.string_at(iv, iv_length), ctypes.string_at(data, length)
            made, left = key.seal(offered, body, aad) if name == "encrypt" else (key.open(offered, body, aad), offered)
        except Exception as error:
            if type(error) not in CODES:
                raise
            self._active = self._active if self.leaves_active else None
            return CODES[type(error)]
        ctypes.memmove(iv, left, len(left))
        ctypes.memmove(output, made, len(made))
        given[0] = len(made)
        self.outputs.append(output)
        self._active = None
        return 0

    def _final(self, name: str, _session: int, _output: int, _room: int) -> int:
        self.calls.append(f"{name}_final")
        if self._active is None or self._active[0] != name:
            return OPERATION_NOT_INITIALIZED
        self._active = None
        return CODES[GeneralError]
