# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a library, its slots and a token can do, each found by trying: for pkcs11_info. Nothing outlives the session.

Only `token_key` makes a key of the token, and destroys it again.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable

from . import keys
from .base import DEK_LENGTH, IV_LENGTH, Refusal, pkcs11
from .binding import Key, Token
from .ckr import ckr
from .gcm_calls import GcmKey, gcm_key
from .iv_rule import NONE, OFFERS, ZEROS, IvRule, find_iv_rule, make_wrap, mode_by_trying
from .session import HsmSession
from .slots import look, serial_of

_AAD_LENGTHS = (0, DEK_LENGTH, 1024)  # bytes; the product binds 32
_TAG_BITS = (128, 120, 112, 104, 96)
_BUFFERS = tuple(1 << power for power in range(10, 21))  # bytes: 1 KiB to 1 MiB


def slots(hsm: HsmSession) -> list[dict[str, object]]:
    """Return every slot with what it answered, and its token. No login is needed."""
    found: list[dict[str, object]] = []
    for seen in look(hsm.library):
        slot: dict[str, object] = {"slot": seen.slot_id, "answer": seen.sick or "CKR_OK", "token": None}
        if seen.token is not None:
            slot["token"] = _token(seen.token)
        found.append(slot)
    return found


def our_token(hsm: HsmSession) -> dict[str, object]:
    """Return the token that is meant. Raises Refusal pkcs11.token_not_found, token_ambiguous, token_gone."""
    return _token(hsm.token())


def mechanisms(hsm: HsmSession) -> list[str]:
    """Return the names of the token's mechanisms, sorted; numbers for those that the binding does not know."""
    named = (getattr(one, "name", one) for one in hsm.token().slot.get_mechanisms())
    return sorted(f"CKM_{name}" if isinstance(name, str) else str(name) for name in named)


def gcm(hsm: HsmSession) -> dict[str, object]:
    """Return how CKM_AES_GCM works with a key of the session: ways of the IV, mode, AAD, tags, buffer, check value."""
    binding = keys.generate_ephemeral(hsm.session)
    try:
        key = gcm_key(binding, hsm.raw)
        found: dict[str, object] = {"iv_ways": {offered: _way(key, offered) for offered in OFFERS}}
        found["check_value"] = keys.check_value(binding) is not None
        found |= _rule_of(key)
        found |= _through_the_binding(binding, zeroed=found.get("iv_offered") == ZEROS)
    finally:
        binding.destroy()
    return found


def token_key(hsm: HsmSession) -> dict[str, object]:
    """Return how a key of the token came out that was made and destroyed again."""
    label, key_id = f"certautopilot-try-{os.urandom(4).hex()}", os.urandom(16)
    made = keys.generate(hsm, label, key_id)
    keys.find_one(hsm, label, key_id).destroy()
    return made


def measure(hsm: HsmSession, seconds: float) -> list[float]:
    """Return how long each wrap took, in s, for so many seconds."""
    binding = keys.generate_ephemeral(hsm.session)
    try:
        key = gcm_key(binding, hsm.raw)
        rule, dek, aad = find_iv_rule(key, ephemeral=True), os.urandom(DEK_LENGTH), os.urandom(DEK_LENGTH)
        spent: list[float] = []
        ends = time.monotonic() + seconds
        while time.monotonic() < ends:
            before = time.monotonic()
            make_wrap(key, dek, aad, rule)
            spent.append(time.monotonic() - before)
    finally:
        binding.destroy()
    return spent


def refusal_of(call: Callable[[], object]) -> str:
    """Return "" for a call that works, else what it answered."""
    try:
        call()
    except Refusal as refusal:
        return refusal.message
    except Exception as error:  # noqa: BLE001  a vendor's library may fail in any way
        return ckr(error)
    return ""


def _token(token: Token) -> dict[str, object]:
    flags = pkcs11.TokenFlag
    return {
        "label": token.label,
        "serial": serial_of(token),
        "manufacturer": token.manufacturer_id,
        "model": token.model,
        "firmware": ".".join(str(part) for part in token.firmware_version),
        "flags": sorted(f"CKF_{flag.name}" for flag in flags if flag.name and flag in token.flags),
    }


def _way(key: GcmKey, offered: str) -> str:
    """Return the IV mode that this way shows, or what it was answered."""
    try:
        return mode_by_trying(key, offered=offered)
    except Refusal as refusal:
        return refusal.message
    except Exception as error:  # noqa: BLE001  a vendor's library may fail in any way
        return ckr(error) if type(error).__module__.startswith("pkcs11") else str(error)


def _rule_of(key: GcmKey) -> dict[str, object]:
    try:
        rule: IvRule = find_iv_rule(key, ephemeral=True)
    except Refusal as refusal:
        return {"iv_mode": None, "iv_offered": NONE, "iv_refusal": [refusal.code, refusal.message]}
    return {"iv_mode": rule.mode, "iv_offered": rule.offered, "iv_refusal": None}


def _through_the_binding(key: Key, *, zeroed: bool) -> dict[str, object]:
    """Return what else the token takes. By the binding, because it asks for the length of any output."""

    def seal(length: int, aad: int, tag_bits: int) -> str:
        # WHY a fresh object: a module that makes its own IV writes into it.
        iv = bytes(bytearray(IV_LENGTH if zeroed else os.urandom(IV_LENGTH)))
        params = pkcs11.GCMParams(nonce=iv, aad=os.urandom(aad) or None, tag_bits=tag_bits)
        return refusal_of(
            lambda: key.encrypt(
                bytes(length), mechanism=pkcs11.Mechanism.AES_GCM, mechanism_param=params, buffer_size=length + 64
            )
        )

    taken = [length for length in _BUFFERS if not seal(length, DEK_LENGTH, 128)]
    return {
        "aad": {str(length): seal(DEK_LENGTH, length, 128) or "works" for length in _AAD_LENGTHS},
        "tag_bits": [bits for bits in _TAG_BITS if not seal(DEK_LENGTH, DEK_LENGTH, bits)],
        "largest_buffer": max(taken, default=0),
    }
