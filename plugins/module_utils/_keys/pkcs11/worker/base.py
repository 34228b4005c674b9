# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The floor of the worker: the binding, named refusals, and the kinds of CKR codes.

The files of this folder are shipped as source into a process of their own (see `bootstrap.py`): they import the
standard library, pkcs11 and each other, nothing else. ADR-0005.
"""

from __future__ import annotations

from typing import Any

try:
    import pkcs11 as _binding
except ImportError as _missing:
    _binding = None
    _IMPORT_ERROR = str(_missing)
else:
    _IMPORT_ERROR = ""

pkcs11: Any = _binding

IV_LENGTH = 12  # bytes
TAG_LENGTH = 16  # bytes
DEK_LENGTH = 32  # bytes
WRAP_LENGTH = IV_LENGTH + DEK_LENGTH + TAG_LENGTH

# WHY names and not classes: the names are the same in every release of the binding, and a code it cannot map is still
# an exception with a name.
BLIPS = frozenset({"DeviceError", "DeviceMemory", "HostMemory", "FunctionCancelled", "OperationActive"})
GONE = frozenset({"DeviceRemoved", "TokenNotPresent", "TokenNotRecognised", "SlotIDInvalid", "NoSuchToken"})
SESSION_ENDED = frozenset(
    {"SessionHandleInvalid", "SessionClosed", "UserNotLoggedIn", "KeyHandleInvalid", "ObjectHandleInvalid"}
)
# Codes that say nothing but that the ciphertext is wrong. With any other one the token may mean its own trouble.
CIPHERTEXT_WRONG = frozenset({"CKR_ENCRYPTED_DATA_INVALID", "CKR_ENCRYPTED_DATA_LEN_RANGE", "CKR_AEAD_DECRYPT_FAILED"})
PIN_WRONG = frozenset({"PinIncorrect", "PinInvalid", "PinLenRange"})


class Refusal(Exception):
    """A named stop: code as in docs, message of found against expected, facts of builtin types. Never holds the PIN."""

    def __init__(self, code: str, message: str, **facts: object) -> None:
        super().__init__(code)
        self.code = code
        self.message = message
        self.facts = facts


def is_transient(error: BaseException) -> bool:
    """Return whether the same call may succeed in a moment, or in a session of its own."""
    name = type(error).__name__
    return name in BLIPS or name in GONE or name in SESSION_ENDED


def require_binding() -> None:
    """Raises dependency.missing unless python-pkcs11 with AES-GCM (0.9 or newer) can be imported."""
    if pkcs11 is None:
        raise Refusal("dependency.missing", f"python-pkcs11 cannot be imported ({_IMPORT_ERROR})")
    if not hasattr(pkcs11, "GCMParams"):
        raise Refusal("dependency.missing", "python-pkcs11 is too old: it has no AES-GCM parameters")
