# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""CKR codes by their names, for messages and for the binding's exceptions. Source: PKCS#11 v2.40 and v3.0, CKR_*."""

from __future__ import annotations

import re

_CODES = {
    0x01: "CANCEL", 0x02: "HOST_MEMORY", 0x03: "SLOT_ID_INVALID", 0x05: "GENERAL_ERROR", 0x06: "FUNCTION_FAILED",
    0x07: "ARGUMENTS_BAD", 0x08: "NO_EVENT", 0x09: "NEED_TO_CREATE_THREADS", 0x0A: "CANT_LOCK",
    0x10: "ATTRIBUTE_READ_ONLY", 0x11: "ATTRIBUTE_SENSITIVE", 0x12: "ATTRIBUTE_TYPE_INVALID",
    0x13: "ATTRIBUTE_VALUE_INVALID", 0x1B: "ACTION_PROHIBITED", 0x20: "DATA_INVALID", 0x21: "DATA_LEN_RANGE",
    0x30: "DEVICE_ERROR", 0x31: "DEVICE_MEMORY", 0x32: "DEVICE_REMOVED", 0x40: "ENCRYPTED_DATA_INVALID",
    0x41: "ENCRYPTED_DATA_LEN_RANGE", 0x42: "AEAD_DECRYPT_FAILED", 0x50: "FUNCTION_CANCELED",
    0x51: "FUNCTION_NOT_PARALLEL", 0x54: "FUNCTION_NOT_SUPPORTED", 0x60: "KEY_HANDLE_INVALID",
    0x62: "KEY_SIZE_RANGE", 0x63: "KEY_TYPE_INCONSISTENT", 0x64: "KEY_NOT_NEEDED", 0x65: "KEY_CHANGED",
    0x66: "KEY_NEEDED", 0x68: "KEY_FUNCTION_NOT_PERMITTED", 0x70: "MECHANISM_INVALID",
    0x71: "MECHANISM_PARAM_INVALID", 0x82: "OBJECT_HANDLE_INVALID", 0x90: "OPERATION_ACTIVE",
    0x91: "OPERATION_NOT_INITIALIZED", 0xA0: "PIN_INCORRECT", 0xA1: "PIN_INVALID", 0xA2: "PIN_LEN_RANGE",
    0xA3: "PIN_EXPIRED", 0xA4: "PIN_LOCKED", 0xB0: "SESSION_CLOSED", 0xB1: "SESSION_COUNT",
    0xB3: "SESSION_HANDLE_INVALID", 0xB4: "SESSION_PARALLEL_NOT_SUPPORTED", 0xB5: "SESSION_READ_ONLY",
    0xB6: "SESSION_EXISTS", 0xB7: "SESSION_READ_ONLY_EXISTS", 0xB8: "SESSION_READ_WRITE_SO_EXISTS",
    0xD0: "TEMPLATE_INCOMPLETE", 0xD1: "TEMPLATE_INCONSISTENT", 0xE0: "TOKEN_NOT_PRESENT",
    0xE1: "TOKEN_NOT_RECOGNIZED", 0xE2: "TOKEN_WRITE_PROTECTED", 0x100: "USER_ALREADY_LOGGED_IN",
    0x101: "USER_NOT_LOGGED_IN", 0x102: "USER_PIN_NOT_INITIALIZED", 0x103: "USER_TYPE_INVALID",
    0x104: "USER_ANOTHER_ALREADY_LOGGED_IN", 0x105: "USER_TOO_MANY_TYPES", 0x120: "RANDOM_SEED_NOT_SUPPORTED",
    0x121: "RANDOM_NO_RNG", 0x130: "DOMAIN_PARAMS_INVALID", 0x150: "BUFFER_TOO_SMALL",
    0x160: "SAVED_STATE_INVALID", 0x170: "INFORMATION_SENSITIVE", 0x180: "STATE_UNSAVEABLE",
    0x190: "CRYPTOKI_NOT_INITIALIZED", 0x191: "CRYPTOKI_ALREADY_INITIALIZED", 0x1A0: "MUTEX_BAD",
    0x1A1: "MUTEX_NOT_LOCKED", 0x200: "FUNCTION_REJECTED",
}  # fmt: skip
_SPELLED_OTHERWISE = {"cancelled": "canceled", "recognised": "recognized"}  # by the binding


def _plain(name: str) -> str:
    plain = name.replace("_", "").lower()
    for british, american in _SPELLED_OTHERWISE.items():
        plain = plain.replace(british, american)
    return plain


_BY_PLAIN = {_plain(name): name for name in _CODES.values()}
_CODE_AT_THE_END = re.compile(r"0x([0-9a-f]+)$", re.IGNORECASE)


def name_of(rv: int) -> str:
    """Return "CKR_PIN_LOCKED" for 0xa4; "CKR 0x80000001" for a code of the vendor's own."""
    return f"CKR_{_CODES[rv]}" if rv in _CODES else f"CKR {rv:#x}"


def ckr(error: BaseException) -> str:
    """Return the name of the CKR code that an exception of the binding stands for; else the exception's own name."""
    name = type(error).__name__
    if name == "PKCS11Error":
        found = _CODE_AT_THE_END.search(str(error))
        return name_of(int(found[1], 16)) if found else f"{name}: {error}" if str(error) else name
    known = _BY_PLAIN.get(_plain(name))
    return f"CKR_{known}" if known else name


def exception_for(rv: int, known: object) -> Exception | None:
    """Return the exception that the binding has for a code, None where it has none. known: its `exceptions`."""
    wanted = _plain(_CODES.get(rv, ""))
    for name in dir(known) if wanted else ():
        kind = getattr(known, name)
        if _plain(name) == wanted and isinstance(kind, type) and issubclass(kind, Exception):
            return kind()
    return None
