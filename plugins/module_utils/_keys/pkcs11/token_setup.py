# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A SoftHSM2 token with a label and a user PIN: looked for first, and made only in a slot that has none.

Tokens of hardware are made by the vendor's own tools: there C_InitToken may wipe a partition. No user PIN is tried.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TypedDict

from ..._domain.pkcs11_settings import Pkcs11Settings
from ..._domain.secret import Secret
from .failures import failure
from .jobs import PoolOptions
from .process import Plain
from .provider import Pkcs11Provider

MADE_HERE = "SoftHSM project"  # manufacturer of tokens, as they say it
LABEL_BYTES = 32  # PKCS#11: CK_TOKEN_INFO.label
INITIALISED, HAS_PIN = "CKF_TOKEN_INITIALIZED", "CKF_USER_PIN_INITIALIZED"
_SO_FLAGS = ("CKF_SO_PIN_LOCKED", "CKF_SO_PIN_FINAL_TRY")  # SoftHSM2 counts low for ever, and locks never
NOTHING, MAKE, SET_PIN = "nothing", "make_token", "set_user_pin"


class TokenFacts(TypedDict):
    """A token as `worker/examine.py` tells it, with model and firmware beside."""

    label: str
    serial: str
    manufacturer: str
    flags: list[str]


class Slot(TypedDict):
    """A slot as `worker/examine.slots` tells it."""

    slot: int
    answer: str
    token: TokenFacts | None


@dataclass(frozen=True, slots=True)
class Step:
    """What is to be done: NOTHING, MAKE or SET_PIN. token: that is there already, None for MAKE."""

    does: str
    slot: int
    token: TokenFacts | None


@dataclass(frozen=True, slots=True)
class Found:
    """before, after: the token, None where there is none. In check mode after is what is there now."""

    changed: bool
    before: TokenFacts | None
    after: TokenFacts | None


class TokenSetup:
    """One token of a library. so_pin: asked for only when the token has to be made or completed."""

    def __init__(self, settings: Pkcs11Settings, options: PoolOptions, so_pin: Callable[[], Secret[str]]) -> None:
        self._settings = settings
        self._options = replace(options, workers=1, login=False)
        self._so_pin = so_pin

    def run(self, *, check: bool) -> Found:
        """Have the token there. Raises OpsError pkcs11.*, dependency.missing, pin.*, file.*."""
        step = self._step()
        if step.does == NOTHING:
            return Found(False, step.token, step.token)
        pin, so_pin = self._settings.pin or Secret(""), self._so_pin()
        if pin.is_blank():
            raise failure(self._settings, "pkcs11.pin_missing", "no user PIN is set")
        if check:
            return Found(True, step.token, step.token)
        label = (self._settings.token_label,) if step.does == MAKE else ()
        self._with_library(lambda provider: provider.ask(step.does, step.slot, *label, so_pin.reveal(), pin.reveal()))
        made = self._step()  # by a library that was loaded anew: another process may have made one meanwhile
        return Found(True, step.token, made.token)

    def _step(self) -> Step:
        slots: Plain = self._with_library(lambda provider: provider.ask("slots"))
        return next_step(slots, self._settings)

    def _with_library(self, use: Callable[[Pkcs11Provider], object]) -> object:
        provider = Pkcs11Provider(self._settings, self._options)
        try:
            provider.open()
            return use(provider)
        finally:
            provider.close()


def next_step(slots: Sequence[Slot], settings: Pkcs11Settings) -> Step:
    """Return what is to be done. Raises OpsError pkcs11.token_ambiguous, token_not_found, token_gone, no_free_slot,
    token_foreign, token_label, so_pin_refused.
    """
    label, serial = settings.token_label, settings.token_serial
    wanted = f'label "{label}"' + (f" and serial {serial}" if serial else "")
    present = [(slot["slot"], token) for slot in slots if (token := slot["token"]) is not None]
    named = [(slot, token) for slot, token in present if token["label"] == label]
    ours = [(slot, token) for slot, token in named if serial in ("", token["serial"])]
    serials = ", ".join(sorted(token["serial"] for _slot, token in named)) or "none"
    if len(ours) > 1:
        raise failure(
            settings, "pkcs11.token_ambiguous", f"{len(ours)} tokens with {wanted}, expected 1; serials: {serials}"
        )
    if ours:
        return _completed(*ours[0], settings)
    sick = [f"slot {slot['slot']} answers {slot['answer']}" for slot in slots if slot["answer"] != "CKR_OK"]
    if sick:  # the token that is looked for may be in it
        raise failure(settings, "pkcs11.token_gone", f"no token with {wanted}: {'; '.join(sick)}; nothing was made")
    if serial:
        said = f"no token with {wanted}; serials of that label: {serials}; a token that is made gets its own serial"
        raise failure(settings, "pkcs11.token_not_found", f"{said}; nothing was made")
    return _made(present, settings)


def _completed(slot: int, token: TokenFacts, settings: Pkcs11Settings) -> Step:
    if HAS_PIN in token["flags"]:
        return Step(NOTHING, slot, token)
    _require_ours(slot, token, settings)
    worn = [flag for flag in _SO_FLAGS if flag in token["flags"]]
    if worn:
        said = f"the token has no user PIN, and says {', '.join(worn)} of its security officer's; no login was tried"
        raise failure(settings, "pkcs11.so_pin_refused", said)
    return Step(SET_PIN, slot, token)


def _made(present: Sequence[tuple[int, TokenFacts]], settings: Pkcs11Settings) -> Step:
    length = len(settings.token_label.encode())
    if length > LABEL_BYTES:
        said = f"the label has {length} bytes, expected {LABEL_BYTES} at most; nothing was made"
        raise failure(settings, "pkcs11.token_label", said)
    free = [(slot, token) for slot, token in present if INITIALISED not in token["flags"]]
    if not free:
        raise failure(settings, "pkcs11.no_free_slot", f"none of {len(present)} slot(s) with a token is free for one")
    _require_ours(*free[0], settings)
    return Step(MAKE, free[0][0], None)


def _require_ours(slot: int, token: TokenFacts, settings: Pkcs11Settings) -> None:
    if token["manufacturer"] != MADE_HERE:
        said = f'slot {slot} is of manufacturer "{token["manufacturer"]}", expected "{MADE_HERE}"; nothing was made'
        raise failure(settings, "pkcs11.token_foreign", said)
