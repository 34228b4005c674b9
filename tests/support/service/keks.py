# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""KEKs of the stand-in: hex in memory, or a key inside a token through PyKCS11. Each wraps and unwraps a DEK."""

from __future__ import annotations

import os
import threading
from typing import Any, Protocol

from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from .config import Config

IV, TAG = 12, 16  # bytes


def check_value(key: bytes) -> str:
    """Return 6 hex characters that tell keys apart without showing them: AES of a zero block, its first 3 bytes."""
    zeros = Cipher(algorithms.AES(key), modes.ECB()).encryptor()
    return zeros.update(bytes(16))[:3].hex()


class Kek(Protocol):
    def wrap(self, dek: bytes, aad: bytes) -> bytes:
        """Return iv(12) + ciphertext(32) + tag(16)."""

    def unwrap(self, wrapped: bytes, aad: bytes) -> bytes:
        """Return the DEK. Raises an exception of the library when it does not authenticate."""


class HexKek:
    """A KEK of the env provider."""

    def __init__(self, key: bytes) -> None:
        self._cipher = AESGCM(key)

    def wrap(self, dek: bytes, aad: bytes) -> bytes:
        iv = os.urandom(IV)
        return iv + self._cipher.encrypt(iv, dek, aad)

    def unwrap(self, wrapped: bytes, aad: bytes) -> bytes:
        return self._cipher.decrypt(wrapped[:IV], wrapped[IV:], aad)


class TokenKek:
    """A KEK inside a token. PyKCS11 initialises the library for threads; one lock keeps the session to one of them.

    With use_gcm_iv_from_hsm the HSM is offered zeros as IV, writes its own into them or appends it to what it returns,
    and the wrap carries that one; without, the caller's own.
    """

    def __init__(self, token: Token, handle: Any) -> None:
        self._token = token
        self._handle = handle

    def wrap(self, dek: bytes, aad: bytes) -> bytes:
        iv = bytes(IV) if self._token.iv_from_hsm else os.urandom(IV)
        with self._token.lock:
            mechanism = self._token.api.AES_GCM_Mechanism(iv, aad, 128)
            sealed = bytes(self._token.session.encrypt(self._handle, dek, mechanism))
        if self._token.iv_from_hsm:
            written, length = bytes(mechanism._source_iv), len(dek) + TAG
            iv, sealed = (written, sealed) if any(written) else (sealed[length:], sealed[:length])
            if len(iv) != IV:
                raise RuntimeError("the HSM made no IV, and config.yaml says use_gcm_iv_from_hsm")
        return iv + sealed

    def unwrap(self, wrapped: bytes, aad: bytes) -> bytes:
        with self._token.lock:
            mechanism = self._token.api.AES_GCM_Mechanism(wrapped[:IV], aad, 128)
            return bytes(self._token.session.decrypt(self._handle, wrapped[IV:], mechanism))


class Token:
    """An open, logged-in session on the configured token. Raises SystemExit naming what is wrong."""

    def __init__(self, config: Config) -> None:
        import PyKCS11

        self.api = PyKCS11
        self.lock = threading.Lock()
        self.iv_from_hsm = config.iv_from_hsm
        self._library = PyKCS11.PyKCS11Lib()
        self._library.load(config.module_path)
        slots = [slot for slot in self._library.getSlotList(tokenPresent=True) if self._is_meant(slot, config)]
        if len(slots) != 1:
            serial = f" with serial {config.token_serial}" if config.token_serial else ""
            raise SystemExit(f'error: {len(slots)} tokens are labelled "{config.token_label}"{serial}, expected one')
        self.session = self._library.openSession(slots[0], PyKCS11.CKF_SERIAL_SESSION | PyKCS11.CKF_RW_SESSION)
        self.session.login(config.pin)

    def _is_meant(self, slot: int, config: Config) -> bool:
        info = self._library.getTokenInfo(slot)
        named = config.token_serial in ("", info.serialNumber.rstrip("\0 "))
        return info.label.rstrip("\0 ") == config.token_label and named

    def kek(self, key_id: bytes) -> TokenKek:
        """Return the one key with this CKA_ID."""
        template = [(self.api.CKA_CLASS, self.api.CKO_SECRET_KEY), (self.api.CKA_ID, key_id)]
        with self.lock:
            found = self.session.findObjects(template)
        if len(found) != 1:
            raise SystemExit(f"error: {len(found)} keys have id {key_id.hex()}, expected one")
        return TokenKek(self, found[0])

    def generate(self, label: str, key_id: bytes) -> TokenKek:
        """Make an AES-256 key that never leaves the token."""
        api = self.api
        attributes = [(api.CKA_CLASS, api.CKO_SECRET_KEY), (api.CKA_KEY_TYPE, api.CKK_AES), (api.CKA_VALUE_LEN, 32)]
        attributes += [(api.CKA_LABEL, label), (api.CKA_ID, key_id)]
        attributes += [(name, True) for name in (api.CKA_TOKEN, api.CKA_PRIVATE, api.CKA_SENSITIVE)]
        attributes += [(api.CKA_EXTRACTABLE, False), (api.CKA_ENCRYPT, True), (api.CKA_DECRYPT, True)]
        with self.lock:
            self.session.generateKey(attributes, mecha=api.MechanismAESGENERATEKEY)
        return self.kek(key_id)
