# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The slots of a library: what each answered, and the one token that is meant.

A slot that is sick is never taken for one without a token: the token that is looked for may be in it (X59).
"""

from __future__ import annotations

from dataclasses import dataclass

from .base import Refusal
from .binding import Library, Slot, Token
from .ckr import ckr


@dataclass(frozen=True)
class Seen:
    """One slot. token: None where there is none, or where it did not answer; sick: the CKR name of the answer then."""

    slot_id: int
    token: Token | None
    sick: str = ""

    def told(self) -> str:
        """Return what the slot answered, for a message."""
        if self.sick:
            return f"slot {self.slot_id} answers {self.sick}"
        if self.token is None:
            return f"slot {self.slot_id} is empty"
        return f'slot {self.slot_id} has token "{self.token.label}" (serial {serial_of(self.token)})'


def look(library: Library) -> list[Seen]:
    """Return every slot. Raises the binding's errors when the library tells of none."""
    present = [_asked(slot) for slot in library.get_slots(token_present=True)]
    known = {seen.slot_id for seen in present}
    empty = [Seen(slot.slot_id, None) for slot in library.get_slots() if slot.slot_id not in known]
    return present + empty


def select(library: Library, label: str, serial: str) -> Token:
    """Return the one token with this label, and serial unless that is "".

    Raises pkcs11.token_not_found, token_ambiguous, token_gone.
    """
    wanted = f'label "{label}"' + (f" and serial {serial}" if serial else "")
    try:
        seen = look(library)
    except Exception as error:  # noqa: BLE001  a vendor's library may fail in any way
        raise Refusal("pkcs11.token_gone", f"the library does not list its slots ({ckr(error)})") from None
    tokens = [one.token for one in seen if one.token is not None]
    matching = [token for token in tokens if token.label == label and serial in ("", serial_of(token))]
    if len(matching) == 1:
        return matching[0]
    if matching:
        serials = sorted(serial_of(token) for token in matching)
        raise Refusal(
            "pkcs11.token_ambiguous", f"{len(matching)} tokens with {wanted}, expected 1; serials: {', '.join(serials)}"
        )
    told = "; ".join(one.told() for one in seen if one.sick or one.token is None or one.token.label)
    if not tokens or any(one.sick for one in seen):
        raise Refusal("pkcs11.token_gone", f"no token with {wanted} answers: {told or 'the library has no slot'}")
    labels = sorted({f'"{token.label}" (serial {serial_of(token)})' for token in tokens if token.label})
    raise Refusal("pkcs11.token_not_found", f"no token with {wanted}, tokens present: {', '.join(labels) or 'none'}")


def serial_of(token: Token) -> str:
    """Return the serial number as text, without its padding."""
    return str(token.serial.decode("ascii", "replace").strip("\0 "))


def _asked(slot: Slot) -> Seen:
    try:
        return Seen(slot.slot_id, slot.get_token())
    except Exception as error:  # noqa: BLE001  a vendor's library may fail in any way
        return Seen(slot.slot_id, None, ckr(error))
