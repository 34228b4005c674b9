# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a token that was looked at is good for: an answer for each requirement, and how many processes to use. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from .values import JsonObject

WORKS, WORKS_WITH, WILL_NOT, NOT_TRIED = "works", "works with", "will not work because", "not tried"
_ENOUGH = 0.9  # of the best rate: more processes than that take sessions from others for little
LEFT_FOR_OTHERS = 2  # sessions, of a token that has few: the service itself needs some


@dataclass(frozen=True, slots=True)
class Answer:
    """requirement: what the product needs. answer: one of the four. told: with what, or why, in CKR names."""

    requirement: str
    answer: str
    told: str = ""

    def as_result(self) -> JsonObject:
        return {"requirement": self.requirement, "answer": self.answer, "told": self.told}


def iv_answer(gcm: Mapping[str, object]) -> Answer:
    """Return the answer on CKM_AES_GCM with an IV of 96 bits."""
    refused = gcm["iv_refusal"]
    if refused:
        [_code, message] = list(refused) if isinstance(refused, (list, tuple)) else ["", str(refused)]
        return Answer("CKM_AES_GCM with an IV of 96 bits", WILL_NOT, str(message))
    if gcm["iv_mode"] == "caller":
        return Answer("CKM_AES_GCM with an IV of 96 bits", WORKS, "the caller's IV is used")
    return Answer(
        "CKM_AES_GCM with an IV of 96 bits",
        WORKS_WITH,
        f"use_gcm_iv_from_hsm: true (the HSM makes the IV: {gcm['iv_mode']}, offered: {gcm['iv_offered']})",
    )


def gcm_answers(gcm: Mapping[str, object]) -> list[Answer]:
    """Return the answers on what was tried with a key of the session."""
    aad, tags = gcm["aad"], gcm["tag_bits"]
    told = dict(aad) if isinstance(aad, Mapping) else {}
    # WHY only where the way is the usual one: without an IV of ours the binding cannot be asked.
    asked = gcm["iv_offered"] != "none" and not gcm["iv_refusal"]
    bound = told.get("32") == WORKS
    whole = isinstance(tags, Sequence) and 128 in tags
    return [
        iv_answer(gcm),
        _of("additional data of 32 bytes", ok=bound, asked=asked, why=str(told.get("32"))),
        _of("a tag of 128 bits", ok=whole, asked=asked, why=f"tags taken: {tags}"),
        Answer("a check value of the key", WORKS)
        if gcm["check_value"]
        else Answer("a check value of the key", WORKS_WITH, "the tag of the canary in its place, to destroy a key"),
    ]


def recommended(rates: Mapping[int, float], *, session_cap: int | None) -> int:
    """Return how many processes to use: the fewest that reach nine tenths of the best rate. rates: by processes.

    session_cap: sessions of the token, None for any number; two of them are left to others.
    """
    room = max(1, session_cap - LEFT_FOR_OTHERS) if session_cap is not None else max(rates, default=1)
    fitting = {workers: rate for workers, rate in rates.items() if workers <= room}
    best = max(fitting.values(), default=0.0)
    return min((workers for workers, rate in fitting.items() if rate >= _ENOUGH * best), default=1)


def _of(requirement: str, *, ok: bool, asked: bool, why: str) -> Answer:
    if not asked:
        return Answer(requirement, NOT_TRIED, "the way that the IV takes keeps python-pkcs11 from asking")
    return Answer(requirement, WORKS) if ok else Answer(requirement, WILL_NOT, why)
