# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""AES-GCM on HSMs that disagree about the IV: which rule a module follows is found by trying, then held to.

Three rules are known: "caller" (our IV is used), "in_place" (the HSM writes its own IV into our buffer) and "appended"
(the HSM's IV comes after the tag). Some want to be offered a buffer of zeros, or none at all and 96 as its bits.
"""

from __future__ import annotations

import hmac
import os
import time
from dataclasses import dataclass
from typing import NamedTuple

from .base import DEK_LENGTH, IV_LENGTH, TAG_LENGTH, Refusal, is_transient
from .ckr import ckr
from .gcm_calls import GcmKey

RANDOM, ZEROS, NONE = "random", "zeros", "none"
_LONG_IV = 16  # bytes, of Thales Luna in its FIPS mode before firmware 7.9.3
_SEALED_LENGTH = DEK_LENGTH + TAG_LENGTH
_RATE_SECONDS = 0.25  # s: how long the probe measures
_RATE_CALLS = 200


OFFERS = {RANDOM: "random IV buffer", ZEROS: "zeroed IV buffer", NONE: "no IV, ulIvLen 0 and ulIvBits 96"}


class BrokenWrap(Exception):
    """The module's output breaks the IV rule it showed in the probe."""


class LongIv(BrokenWrap):
    """The module makes an IV of 16 bytes: there is no room for it in an envelope."""


@dataclass(frozen=True)
class IvRule:
    """mode: "caller", "in_place" or "appended". offered: what the call starts with: RANDOM, ZEROS or NONE."""

    mode: str
    offered: str

    @property
    def zeroed(self) -> bool:
        """Return whether the buffer must hold zeros when the call starts."""
        return self.offered == ZEROS


class _Sealed(NamedTuple):
    sent: bytes
    buffer: bytes
    output: bytes


def _seal(key: GcmKey, plaintext: bytes, aad: bytes, *, offered: str) -> _Sealed:
    sent = os.urandom(IV_LENGTH) if offered == RANDOM else bytes(IV_LENGTH) if offered == ZEROS else b""
    output, buffer = key.encrypt(sent, plaintext, aad)
    return _Sealed(sent, buffer, output)


def open_wrap(key: GcmKey, wrapped: bytes, aad: bytes) -> bytes:
    """Return what the wrap (iv first) holds. Raises whatever the binding raises when it does not authenticate."""
    return key.decrypt(wrapped[:IV_LENGTH], wrapped[IV_LENGTH:], aad)


def make_wrap(key: GcmKey, dek: bytes, aad: bytes, rule: IvRule) -> bytes:
    """Return iv + sealed DEK + tag, 60 bytes, not yet opened again. Raises BrokenWrap, or what the binding raises."""
    sealed = _seal(key, dek, aad, offered=rule.offered)
    found = _mode_of(sealed)
    # INVARIANT: a module probed as one that makes its own IV never gets away with leaving the buffer as it was.
    if found != rule.mode:
        raise BrokenWrap(f"the module answered in IV mode {found}, the probe found {rule.mode}")
    return _wrap_of(sealed, found)


def _mode_of(sealed: _Sealed) -> str:
    if len(sealed.output) == _SEALED_LENGTH + IV_LENGTH:
        return "appended"
    if len(sealed.output) == _SEALED_LENGTH + _LONG_IV:
        raise LongIv(f"the module appends an IV of its own of {_LONG_IV} bytes")
    if len(sealed.output) != _SEALED_LENGTH:
        raise BrokenWrap(f"the module returned {len(sealed.output)} bytes, expected {_SEALED_LENGTH}")
    if not sealed.sent:
        raise BrokenWrap("the module does not tell the IV that it made")
    if sealed.buffer == sealed.sent:
        return "caller"
    return "in_place"


def _wrap_of(sealed: _Sealed, mode: str) -> bytes:
    iv = sealed.output[_SEALED_LENGTH:] if mode == "appended" else sealed.buffer
    if not any(iv):
        raise BrokenWrap("the IV in use is all zeros")
    return iv + sealed.output[:_SEALED_LENGTH]


def find_iv_rule(key: GcmKey, *, ephemeral: bool) -> IvRule:
    """Return the module's IV rule. ephemeral: the key dies with the session. Raises pkcs11.probe_failed.

    SAFE BECAUSE a zeroed buffer, or none, is only ever offered with an ephemeral key: a module that takes it for zeros
    would otherwise use the zero IV with a KEK, once for each start, and lose that KEK's authentication.
    """
    tried, long_iv = [], False
    for offered, name in OFFERS.items() if ephemeral else [(RANDOM, OFFERS[RANDOM])]:
        try:
            return IvRule(mode_by_trying(key, offered=offered), offered)
        except Refusal:
            raise
        except Exception as error:
            if is_transient(error):
                raise
            long_iv |= isinstance(error, LongIv)
            tried.append(f"{name}: {error if isinstance(error, BrokenWrap) else ckr(error)}")
    if long_iv:
        expected = f"expected {IV_LENGTH} bytes, NIST SP 800-38D section 8.2"
        raise Refusal(
            "pkcs11.iv_length", f"CKM_AES_GCM with an IV of {_LONG_IV} bytes, {expected} ({'; '.join(tried)})"
        )
    raise Refusal("pkcs11.probe_failed", f"no known way to use CKM_AES_GCM works with this module ({'; '.join(tried)})")


def mode_by_trying(key: GcmKey, *, offered: str) -> str:
    """Plan: 1 seal the same bytes twice, 2 the same rule both times, 3 two IVs, two ciphertexts, 4 both open,
    5 an exchanged IV, another context and a flipped tag bit are all refused."""
    plaintext, aad = os.urandom(DEK_LENGTH), os.urandom(DEK_LENGTH)
    first, second = (_seal(key, plaintext, aad, offered=offered) for _number in range(2))  # 1
    mode = _mode_of(first)
    if mode != _mode_of(second):  # 2
        raise BrokenWrap("two encryptions answered in two different IV modes")
    if offered == ZEROS and mode == "caller":
        raise BrokenWrap("the module keeps a zeroed IV instead of making its own")
    wraps = [_wrap_of(first, mode), _wrap_of(second, mode)]
    ivs, bodies = {wrap[:IV_LENGTH] for wrap in wraps}, {wrap[IV_LENGTH:] for wrap in wraps}
    if len(ivs) != 2 or len(bodies) != 2:  # 3
        raise BrokenWrap("two encryptions share an IV or a ciphertext")
    for wrap in wraps:
        if not hmac.compare_digest(open_wrap(key, wrap, aad), plaintext):  # 4
            raise BrokenWrap("a fresh ciphertext opened to other bytes")
    exchanged = wraps[1][:IV_LENGTH] + wraps[0][IV_LENGTH:]
    flipped = wraps[0][:-1] + bytes([wraps[0][-1] ^ 1])
    for forged, context in ((exchanged, aad), (wraps[0], os.urandom(DEK_LENGTH)), (flipped, aad)):  # 5
        if _opens(key, forged, context):
            raise Refusal("pkcs11.probe_failed", "the module opens forged ciphertexts: tag or context is not checked")
    return mode


def _opens(key: GcmKey, wrapped: bytes, aad: bytes) -> bool:
    try:
        open_wrap(key, wrapped, aad)
    except Exception as error:
        if is_transient(error):
            raise
        return False
    return True


def measure(key: GcmKey, rule: IvRule) -> dict[str, float]:
    """Return calls_per_second and latency_ms (median) of encryptions in one session, measured for at most 0.25 s."""
    dek, aad = os.urandom(DEK_LENGTH), os.urandom(DEK_LENGTH)
    spent: list[float] = []
    started = time.monotonic()
    while len(spent) < _RATE_CALLS and (time.monotonic() - started < _RATE_SECONDS or not spent):
        before = time.monotonic()
        make_wrap(key, dek, aad, rule)
        spent.append(time.monotonic() - before)
    total = max(sum(spent), 1e-9)
    median = sorted(spent)[len(spent) // 2]
    return {"calls_per_second": round(len(spent) / total, 1), "latency_ms": round(median * 1000, 3)}
