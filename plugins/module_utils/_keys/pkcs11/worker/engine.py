# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Batches of wraps in one worker: an item fails alone, a blip is tried again, and what is to be proved is opened again.

Results are bytes, or (reason, detail) with the reasons of `provider.KeyFailure`.
"""

from __future__ import annotations

import hmac
import os
import random
import time
from collections.abc import Callable, Sequence
from typing import TypeVar, Union

from . import keys
from .base import CIPHERTEXT_WRONG, DEK_LENGTH, GONE, SESSION_ENDED, WRAP_LENGTH, Refusal, is_transient
from .binding import Key
from .ckr import ckr
from .gcm_calls import GcmKey, gcm_key
from .iv_rule import BrokenWrap, IvRule, find_iv_rule, make_wrap, measure, open_wrap
from .session import HsmSession, TokenInfo

Item = Union[bytes, tuple[str, str]]  # noqa: UP007 - Ansible's pylint knows no `|` between a class and a generic
T = TypeVar("T")

_ATTEMPTS = 9
_PAUSE = 0.02  # s, doubled at each of the first attempts, with jitter
_DOUBLINGS = 5


class Engine:
    """The loaded keys of this worker. retries: how many calls were made again since the last `take_retries`."""

    def __init__(self, hsm: HsmSession) -> None:
        self.hsm = hsm
        self._references: dict[int, tuple[str, bytes, str | None]] = {}
        self._keys: dict[int, GcmKey] = {}
        self._pulses: dict[int, bytes] = {}
        self._rule: IvRule | None = None
        self._retries = 0

    def take_retries(self) -> int:
        """Return the retries since the last call, and start counting again."""
        count, self._retries = self._retries, 0
        return count

    def persist(self, call: Callable[..., T], *arguments: object) -> T:
        """Return what the call returns, made again after a blip and in a new session after the HSM ended ours.

        Raises Refusal pkcs11.token_gone or pkcs11.session_lost when that does not help, and any other error at once.
        """
        last: BaseException | None = None
        began_again = False
        for attempt in range(_ATTEMPTS):
            try:
                if last is not None and attempt > 1 and type(last).__name__ in GONE | SESSION_ENDED:
                    began_again = True
                    self._begin_again()
                return call(*arguments)
            except Exception as error:
                if not is_transient(error):
                    raise
                last = error
            self._retries += 1
            time.sleep(_PAUSE * 2 ** min(attempt, _DOUBLINGS) * random.uniform(0.5, 1.5))  # noqa: S311  jitter, not a secret
        gone = last is not None and type(last).__name__ in GONE
        where = ", the last ones in a new session" if began_again else ", all in one session"
        answer = ckr(last) if last is not None else "nothing"
        raise Refusal(
            "pkcs11.token_gone" if gone else "pkcs11.session_lost",
            f"the HSM keeps answering {answer}, {_ATTEMPTS} attempts{where}",
        )

    def load(self, references: dict[int, tuple[str, bytes, str | None]]) -> dict[int, str | None]:
        """Return version -> check value; from now on exactly these versions can be used."""
        self._references, self._pulses = dict(references), {}
        try:
            self.persist(self._look_up)
        except BaseException:
            self._references = {}  # what was not found is not looked for again with each new session
            raise
        return {version: self.persist(keys.check_value, key.binding) for version, key in self._keys.items()}

    def probe(self) -> dict[str, object]:
        """Return iv_mode, iv_zeroed, tag, aad, key_generation, rate. Raises pkcs11.mechanism_missing, probe_failed."""
        info = self.hsm.info()
        missing = [f"CKM_{name}" for name, present in info["mechanisms"].items() if not present]
        if missing:
            raise Refusal("pkcs11.mechanism_missing", f"the token does not offer {' and '.join(missing)}")
        return self.persist(self._probe, info)

    def _probe(self, info: TokenInfo) -> dict[str, object]:
        key = self._ephemeral()
        if isinstance(key, str):
            raise Refusal(
                "pkcs11.key_generation_refused", f"the token refuses to make an AES-256 key for the session ({key})"
            )
        try:
            rule = self._rule = find_iv_rule(key, ephemeral=True)
            rate = measure(key, rule)
        finally:
            _destroy(key.binding)
        found: dict[str, object] = {"iv_mode": rule.mode, "iv_offered": rule.offered, "iv_zeroed": rule.zeroed}
        found |= {"tag_checked": True, "aad_checked": True}
        return {**info, **found, "key_generation": True, "rate": rate}

    def wrap(self, version: int, requests: list[tuple[bytes, bytes]]) -> list[Item]:
        """Return a verified wrap per (dek, aad)."""
        self._require(version)
        return [self._proved_wrap(version, dek, aad) for dek, aad in requests]

    def unwrap(self, requests: list[tuple[int, bytes, bytes]], *, trial: bool = False) -> list[Item]:
        """Return a DEK per (version, wrapped, aad). trial: a refusal is an answer and not asked for twice."""
        results = [self._persistent_unwrap(*request, trial=trial) for request in requests]
        self._feel_pulses(requests, results)
        return results

    def rewrap(self, to_version: int, requests: list[tuple[int, bytes, bytes, bool]]) -> list[Item]:
        """Return a wrap of the same DEK under `to_version` per (version, wrapped, aad, whether it is verified)."""
        self._require(to_version)
        results: list[Item] = []
        for version, wrapped, aad, prove in requests:
            dek = self._persistent_unwrap(version, wrapped, aad)
            if isinstance(dek, bytes):
                results.append((self._proved_wrap if prove else self._wrap)(to_version, dek, aad))
            else:
                results.append(dek)
        self._feel_pulses(requests, results)
        return results

    def _begin_again(self) -> None:
        self.hsm.reopen()
        self._look_up()

    def _look_up(self) -> None:
        """Find every key once. INVARIANT: handles belong to the session they were found in and die with it."""
        self._keys = {}
        found: dict[int, GcmKey] = {}
        for version, (label, key_id, expected) in self._references.items():
            key = keys.find_one(self.hsm, label, key_id)
            shown = keys.check_value(key)
            if expected and shown and expected.lower() != shown:
                raise Refusal(
                    "pkcs11.wrong_key",
                    f'wrong key under label "{label}" and id {key_id.hex()}: check value {shown}, expected {expected}',
                    label=label,
                    check_value=shown,
                    expected_check_value=expected,
                )
            found[version] = gcm_key(key, self.hsm.raw)
        if found and self._rule is None:
            self._rule = self._find_rule(next(iter(found.values())))
        self._keys = found
        for version, usable in found.items():
            if version not in self._pulses:
                self._pulses[version] = make_wrap(usable, os.urandom(DEK_LENGTH), b"", self._known_rule())

    def _find_rule(self, fallback: GcmKey) -> IvRule:
        key = self._ephemeral()
        if isinstance(key, str):
            return find_iv_rule(fallback, ephemeral=False)
        try:
            return find_iv_rule(key, ephemeral=True)
        finally:
            _destroy(key.binding)

    def _ephemeral(self) -> GcmKey | str:
        """Return a key that dies with the session, or the CKR name of what the token answers instead."""
        session = self.hsm.session
        try:
            return gcm_key(keys.generate_ephemeral(session), self.hsm.raw)
        except Exception as error:
            if is_transient(error):
                raise
            return ckr(error)

    def _known_rule(self) -> IvRule:
        if self._rule is None:
            raise Refusal("pkcs11.probe_failed", "the IV mode of the module is not known yet")
        return self._rule

    def _require(self, version: int) -> None:
        if version not in self._references:
            raise Refusal("provider.version_not_loaded", f"KEK version {version} is not loaded")

    def _wrap(self, version: int, dek: bytes, aad: bytes) -> Item:
        """Return a wrap that nobody opened yet. A broken IV rule or length is seen here all the same."""
        if len(dek) != DEK_LENGTH:
            return ("malformed", f"DEK of {len(dek)} bytes, expected {DEK_LENGTH}")
        # WHY each call persists alone: a throttled HSM that refuses the proof must not be asked for the wrap again too.
        try:
            return self.persist(lambda: make_wrap(self._keys[version], dek, aad, self._known_rule()))
        except BrokenWrap as broken:
            return ("verification", str(broken))
        except Refusal:
            raise
        except Exception as error:  # noqa: BLE001  a vendor's library may fail in any way
            raise Refusal("pkcs11.encryption_failed", f"KEK version {version} cannot encrypt ({ckr(error)})") from None

    def _proved_wrap(self, version: int, dek: bytes, aad: bytes) -> Item:
        wrapped = self._wrap(version, dek, aad)
        if not isinstance(wrapped, bytes):
            return wrapped
        # INVARIANT: no wrap that was to be proved leaves the worker unless the HSM opened it again to its DEK.
        try:
            opened = self.persist(lambda: open_wrap(self._keys[version], wrapped, aad))
        except Refusal:
            raise
        except Exception as error:  # noqa: BLE001  a vendor's library may fail in any way
            return ("verification", f"the fresh wrap did not open again ({ckr(error)})")
        if not hmac.compare_digest(opened, dek):
            return ("verification", "the fresh wrap opened to another DEK")
        return wrapped

    def _persistent_unwrap(self, version: int, wrapped: bytes, aad: bytes, *, trial: bool = False) -> Item:
        if version not in self._references:
            return ("unknown_version", f"KEK version {version} is not loaded")
        if len(wrapped) != WRAP_LENGTH:
            return ("malformed", f"{len(wrapped)} bytes, expected {WRAP_LENGTH}")
        first = self.persist(self._unwrap, version, wrapped, aad)
        # WHY not always once more: an HSM audits each decryption that it refuses, and many say what they mean.
        if isinstance(first, bytes) or trial or not _may_be_a_blip(first):
            return first
        second = self.persist(self._unwrap, version, wrapped, aad)
        self._retries += isinstance(second, bytes)  # a second refusal confirms the first: no fault was made good
        return second

    def _unwrap(self, version: int, wrapped: bytes, aad: bytes) -> Item:
        try:
            dek = open_wrap(self._keys[version], wrapped, aad)
        except Exception as error:
            if is_transient(error):
                raise
            return ("authentication", ckr(error))
        return dek if len(dek) == DEK_LENGTH else ("malformed", f"the wrap holds {len(dek)} bytes, not a DEK")

    def _feel_pulses(
        self, requests: Sequence[tuple[int, bytes, bytes] | tuple[int, bytes, bytes, bool]], results: list[Item]
    ) -> None:
        """Raises pkcs11.session_lost when a key that refused an item does not open our own wrap either.

        Every token says the same to altered bytes, a wrong key and a sick HSM; this tells the HSM apart. A wrong key
        is the canary's to find.
        """
        refused = {
            request[0] for request, result in zip(requests, results, strict=True) if result[0] == "authentication"
        }
        for version in sorted(refused):
            pulse = self.persist(self._unwrap, version, self._pulses[version], b"")
            if not isinstance(pulse, bytes):
                raise Refusal(
                    "pkcs11.session_lost",
                    f"KEK version {version} no longer opens what it sealed in this session ({pulse[1]})",
                )


def _may_be_a_blip(refused: tuple[str, str]) -> bool:
    """Return whether the code that an item was refused with is also what a passing fault looks like."""
    return refused[0] == "authentication" and refused[1] not in CIPHERTEXT_WRONG


def _destroy(key: Key) -> None:
    try:
        key.destroy()
    except Exception:  # noqa: BLE001  it dies with the session anyhow
        return
