# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""CKM_AES_GCM with one call of the module for each operation, or through the binding where that is out of reach.

The binding asks C_Encrypt and C_Decrypt for the length of their output before each real call. On a module that answers
this over a network it is a second round trip for a number we know: outputs here have at most 60 bytes. Source: PKCS#11
v2.40 base specification, C_EncryptInit to C_DecryptFinal; CK_GCM_PARAMS as in errata 01.
"""

from __future__ import annotations

from typing import Protocol, TypeAlias

from .base import IV_LENGTH, TAG_LENGTH, pkcs11
from .binding import Key
from .ckr import exception_for
from .function_list import Function, RawModule

try:
    import ctypes
except ImportError:  # a Python built without libffi
    ctypes = None  # type: ignore[assignment]

_BUFFER = 256  # bytes: more than any output here, so that nobody need grow it
_BUFFER_LIMIT = 64 * 1024  # bytes: what a module may ask for instead
_ENCRYPT, _DECRYPT = (29, 30, 32), (33, 34, 36)  # places of Init, the call in one part, and Final in CK_FUNCTION_LIST
_CKM_AES_GCM = 0x1087
_BUFFER_TOO_SMALL, _OPERATION_ACTIVE = 0x150, 0x90

if ctypes is not None:

    class _GcmParams(ctypes.Structure):
        """CK_GCM_PARAMS with ulIvBits, the form that the binding sends: modules tell it by its length."""

        _fields_ = (
            ("iv", ctypes.c_void_p),
            ("iv_length", ctypes.c_ulong),
            ("iv_bits", ctypes.c_ulong),
            ("aad", ctypes.c_char_p),
            ("aad_length", ctypes.c_ulong),
            ("tag_bits", ctypes.c_ulong),
        )

    class _Mechanism(ctypes.Structure):
        """CK_MECHANISM."""

        _fields_ = (("number", ctypes.c_ulong), ("parameter", ctypes.c_void_p), ("length", ctypes.c_ulong))


Calls: TypeAlias = tuple[Function, Function, Function | None]
"""Init, the call in one part, and Final of an operation; a module may do without Final."""


class Params(Protocol):
    """CK_GCM_PARAMS as the binding has them."""

    nonce: bytes


class GcmKey(Protocol):
    """An AES key of the session. binding: the key as python-pkcs11 knows it."""

    binding: Key

    def encrypt(self, iv: bytes, plaintext: bytes, aad: bytes) -> tuple[bytes, bytes]:
        """Return (output, what the module left in the buffer that held the IV). Raises the binding's errors.

        iv: 12 bytes, or none at all for a module that makes its own.
        """

    def decrypt(self, iv: bytes, sealed: bytes, aad: bytes) -> bytes:
        """Return the opened bytes. Raises the binding's errors."""


def gcm_key(key: Key, raw: RawModule | None) -> GcmKey:
    """Return the key for one call an operation, or through the binding where the function list is out of reach."""
    calls = _functions(raw)
    session = getattr(getattr(key, "session", None), "handle", None)
    if calls is None or not isinstance(session, int):
        return BindingKey(key)
    return OneCallKey(key, session, *calls)


def error_of(rv: int) -> Exception:
    """Return the binding's exception for a CKR code."""
    error: Exception | None = exception_for(rv, pkcs11.exceptions)
    return error or pkcs11.exceptions.PKCS11Error(f"CKR code {rv:#x}")


class BindingKey:
    """Implements `GcmKey` by python-pkcs11: two calls of the module for each operation."""

    def __init__(self, key: Key) -> None:
        self.binding = key

    def encrypt(self, iv: bytes, plaintext: bytes, aad: bytes) -> tuple[bytes, bytes]:
        """See `GcmKey`."""
        if not iv:
            raise pkcs11.exceptions.PKCS11Error("python-pkcs11 cannot leave the IV out")
        params = _binding_params(iv, aad)
        output = self.binding.encrypt(
            plaintext, mechanism=pkcs11.Mechanism.AES_GCM, mechanism_param=params, buffer_size=_BUFFER
        )
        return output, bytes(bytearray(params.nonce))

    def decrypt(self, iv: bytes, sealed: bytes, aad: bytes) -> bytes:
        """See `GcmKey`."""
        params = _binding_params(iv, aad)
        opened: bytes = self.binding.decrypt(
            sealed, mechanism=pkcs11.Mechanism.AES_GCM, mechanism_param=params, buffer_size=_BUFFER
        )
        return opened


def _binding_params(iv: bytes, aad: bytes) -> Params:
    # WHY bytes(bytearray(...)): the binding hands the module a pointer into this very object, so an HSM that writes
    # its IV in place would change a shared constant. A fresh object of our own is the only one it may touch.
    params: Params = pkcs11.GCMParams(nonce=bytes(bytearray(iv)), aad=aad or None)
    return params


class OneCallKey:
    """Implements `GcmKey` by the module's own functions. session: the handle that the key was found in.

    encryption, decryption: the module's functions for each.
    """

    def __init__(self, key: Key, session: int, encryption: Calls, decryption: Calls) -> None:
        self.binding = key
        self._session = session
        self._handle = int(key.handle)
        self._encryption = encryption
        self._decryption = decryption
        # WHY made once: after each wait for the HSM the caches are cold, and a new object costs several times as much.
        self._output = ctypes.create_string_buffer(_BUFFER)
        self._params = _GcmParams(None, IV_LENGTH, IV_LENGTH * 8, None, 0, TAG_LENGTH * 8)
        self._mechanism = _Mechanism(_CKM_AES_GCM, ctypes.addressof(self._params), ctypes.sizeof(self._params))
        self._mechanism_at = ctypes.byref(self._mechanism)
        self._length = ctypes.c_ulong()
        self._length_at = ctypes.byref(self._length)

    def encrypt(self, iv: bytes, plaintext: bytes, aad: bytes) -> tuple[bytes, bytes]:
        """See `GcmKey`."""
        # A fresh one: the only bytes that a module may change.
        buffer = ctypes.create_string_buffer(iv, IV_LENGTH) if iv else None
        output = self._run(self._encryption, buffer, plaintext, aad)
        return output, buffer.raw if buffer is not None else b""

    def decrypt(self, iv: bytes, sealed: bytes, aad: bytes) -> bytes:
        """See `GcmKey`."""
        return self._run(self._decryption, ctypes.create_string_buffer(iv, IV_LENGTH), sealed, aad)

    def _run(self, functions: Calls, buffer: ctypes.Array[ctypes.c_char] | None, data: bytes, aad: bytes) -> bytes:
        begin, call, _final = functions
        params, length = self._params, self._length
        params.iv = None if buffer is None else ctypes.addressof(buffer)
        params.iv_length = 0 if buffer is None else IV_LENGTH
        params.aad, params.aad_length = aad or None, len(aad)
        rv = begin(self._session, self._mechanism_at, self._handle)
        if rv == _OPERATION_ACTIVE:
            self._end_operations()
            rv = begin(self._session, self._mechanism_at, self._handle)
        if rv:
            raise error_of(rv)
        output = self._output
        try:
            length.value = _BUFFER
            rv = call(self._session, data, len(data), output, self._length_at)
            if rv == _BUFFER_TOO_SMALL and _BUFFER < length.value <= _BUFFER_LIMIT:
                output = ctypes.create_string_buffer(length.value)
                rv = call(self._session, data, len(data), output, self._length_at)
            if rv == _BUFFER_TOO_SMALL:
                self._end_operations()  # the one answer after which the operation goes on
            if rv:
                raise error_of(rv)
            if length.value > len(output):
                raise pkcs11.exceptions.PKCS11Error(f"{length.value} bytes in a buffer of {len(output)}")
            return ctypes.string_at(output, length.value)
        finally:
            ctypes.memset(output, 0, len(output))  # it may hold a data key

    def _end_operations(self) -> None:
        """End what a failed call left active in the session. There is no cancel before PKCS#11 3.0: Final must do."""
        for _begin, _call, final in (self._encryption, self._decryption):
            if final is not None:
                final(self._session, self._output, ctypes.byref(ctypes.c_ulong(len(self._output))))
        ctypes.memset(self._output, 0, len(self._output))


def _functions(raw: RawModule | None) -> tuple[Calls, Calls] | None:
    """Return (encryption, decryption) for `OneCallKey`, None when a function that it needs cannot be reached."""
    if raw is None or ctypes is None:
        return None
    number, pointer, data = ctypes.c_ulong, ctypes.c_void_p, ctypes.c_char_p
    found: list[Calls] = []
    for begin, call, final in (_ENCRYPT, _DECRYPT):
        begins = raw.function(begin, number, pointer, number)
        calls = raw.function(call, number, data, number, pointer, pointer)
        if begins is None or calls is None:
            return None
        found.append((begins, calls, raw.function(final, number, pointer, pointer)))
    return found[0], found[1]
