# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which user PINs a token refused, so that no host tries one of them again (T32, ADR-0015).

One document per token in `kek_pin_refusals`: `{_id: name of the token, salt, refused: [{tag, refusal, at, host}]}`, the
latest refusal last. The PIN is not in it. A login whose answer nobody saw has no tag, because its PIN may be right
(`_domain/pin_tag.py`), and stands for every PIN.
"""

from __future__ import annotations

import os
import secrets
import socket
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from .._domain.errors import OpsError
from .._domain.instants import rfc3339
from .._domain.pin_tag import SALT_LENGTH, tag
from .._domain.secret import Secret
from .._domain.values import Document
from .connection import Store, driver_errors
from .first_writer import insert_if_absent

COLLECTION = "kek_pin_refusals"
KEPT = 8  # refusals of a token; WHY so few: each makes one right PIN in 1024, or in 32 short ones, look refused


@dataclass(frozen=True, slots=True)
class Refusal:
    """refusal: its id, 8 hex characters. at: RFC 3339 by the server's clock. host: that tried the PIN.

    certain: False for a login whose answer nobody saw, or that says nothing about the PIN.
    """

    refusal: str
    at: str
    host: str
    certain: bool


def find(store: Store, token: str, pin: Secret[str]) -> Refusal | None:
    """Return the latest refusal of this PIN (or of one with the same tag) by the token, None where there is none."""
    known = _read(store, token)
    if known is None:
        return None
    ours = tag(known["salt"], pin)
    matching = [entry for entry in known["refused"] if entry["tag"] in (ours, None)]
    if not matching:
        return None
    latest = matching[-1]
    return Refusal(str(latest["refusal"]), rfc3339(latest["at"]), str(latest["host"]), latest["tag"] is not None)


def note(store: Store, token: str, pin: Secret[str] | None) -> None:
    """Note that the token refused this PIN just now, under a new id; an older note of the same PIN gives way.

    pin: None for a login that did not succeed and may have been made with the right one.
    """
    collection = store.collection(COLLECTION)
    fresh = {"salt": os.urandom(SALT_LENGTH), "refused": []}
    insert_if_absent(store, COLLECTION, token, fresh)
    ours = _forget(store, token, pin) if pin is not None else None
    entry = {
        "tag": ours,
        "refusal": secrets.token_hex(4),
        "at": store.server_time(),
        "host": socket.gethostname(),
    }
    with driver_errors(store):
        collection.update_one({"_id": token}, {"$push": {"refused": {"$each": [entry], "$slice": -KEPT}}})


def forget(store: Store, token: str, pin: Secret[str]) -> None:
    """Remove every note of this PIN: the token took it. The salt stays, see `_domain/pin_tag.py`."""
    _forget(store, token, pin)


def _forget(store: Store, token: str, pin: Secret[str]) -> int | None:
    known = _read(store, token)
    if known is None:
        return None
    ours = tag(known["salt"], pin)
    with driver_errors(store):
        store.collection(COLLECTION).update_one({"_id": token}, {"$pull": {"refused": {"tag": {"$in": [ours, None]}}}})
    return ours


def _read(store: Store, token: str) -> Document | None:
    with driver_errors(store):
        found = store.collection(COLLECTION).find_one({"_id": token})
    if found is None:
        return None
    if not _is_sound(found):
        raise OpsError(
            f"the note of refused PINs for the token {token} is damaged (in {COLLECTION})",
            code="pkcs11.note_damaged",
            hint=f'find out what wrote it, then remove it: db.{COLLECTION}.deleteOne({{_id: "{token}"}}); a PIN that '
            "was refused before is then tried once more",
        )
    return dict(found)


def _is_sound(note: Document) -> bool:
    """Return whether a note has the form in which it is written: what others altered must not cost a try (X32)."""
    salt, refused = note.get("salt"), note.get("refused")
    return (
        isinstance(salt, bytes)
        and len(salt) == SALT_LENGTH
        and isinstance(refused, list)
        and all(
            isinstance(entry, Mapping) and isinstance(entry.get("tag", ""), (int, type(None)))
            and isinstance(entry.get("at"), datetime)
            and {"refusal", "host"} <= entry.keys()
            for entry in refused
        )
    )  # fmt: skip
