# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What every KEK provider can do, in batches: one round trip to a worker carries hundreds of envelopes.

A wrap on this floor is always `iv(12) + encrypted DEK(32) + tag(16)`, whatever the database stores;
`_domain/envelope_layout.py` turns stored forms into it and back. What a provider is before it is opened says `kind.py`.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Protocol, TypeAlias

from .._domain.key_names import KeyCount, KeyReference
from .._domain.values import JsonObject

WRAP_LENGTH = 60  # bytes: iv 12 + DEK 32 + GCM tag 16, NIST SP 800-38D
DEK_LENGTH = 32  # bytes: AES-256
IV_LENGTH = 12  # bytes: the 96 bits of NIST SP 800-38D section 8.2


@dataclass(frozen=True, slots=True)
class KeyFailure:
    """Why one item of a batch could not be served; the others were.

    reason: "authentication" (wrong key, wrong context or altered bytes: they cannot be told apart here, the canary
    decides), "unknown_version", "malformed", "verification" (a fresh wrap did not open again).
    """

    reason: str
    detail: str = ""


@dataclass(frozen=True, slots=True)
class WrapRequest:
    """dek: 32 bytes. aad: bytes bound to the wrap, b"" for none."""

    dek: bytes = field(repr=False)
    aad: bytes


# WHY not frozen: there is one for each envelope, and freezing triples the time of making it. Nobody assigns to it.
@dataclass(slots=True)
class UnwrapRequest:
    """version: KEK version that made the wrap. wrapped: 60 bytes, iv first."""

    version: int
    wrapped: bytes = field(repr=False)
    aad: bytes


class LoginRecord(Protocol):
    """Who writes down that a login begins, for the case that nobody lives to tell how it ended."""

    def begins(self) -> None:
        """Note it. Raises OpsError where it cannot be noted: then nobody logs in."""

    def passed(self) -> None:
        """Note that the device let us in."""


FirstLogin: TypeAlias = AbstractContextManager[LoginRecord | None]
"""Entered before a device is touched, left when the first login is through; it may refuse."""


class KeyAdmin(Protocol):
    """Keys inside a device: found, made, described, destroyed. Each is named by label and id, and must match once."""

    def probe(self) -> JsonObject:
        """Return what the device can do, JSON-clean, each found by trying."""

    def find_key(self, label: str, key_id: bytes) -> KeyCount:
        """Return how many secret keys carry the label, and how many the id."""

    def generate_key(self, label: str, key_id: bytes) -> JsonObject:
        """Make an AES-256 key that never leaves the device, once; return its description. Never repeated by itself."""

    def describe_key(self, label: str, key_id: bytes) -> JsonObject:
        """Return label, id, check_value and flags of the one key that has both names."""

    def destroy_key(self, label: str, key_id: bytes, check_value: str | None) -> None:
        """Destroy the one key that has both names and shows this check value. There is no way back.

        check_value: None for a key that was told by its canary.
        """


class Provider(Protocol):
    """A KEK provider: open, load, use, close. Obtained from `registry`, closed by whoever opened it."""

    name: str
    device: bool  # True where another device computes, which may be wrong without saying so

    @property
    def key_admin(self) -> KeyAdmin | None:
        """Return who administers the keys of the device; None where keys are given by a file and not made."""

    @property
    def retries(self) -> int:
        """Return how many calls had to be made again since the provider was opened: those that a fault cost."""

    def open(self, first_login: FirstLogin | None = None) -> None:
        """Log in, where there is something to log in to.

        first_login: entered before the device is touched, left when the first login is through; it may refuse.
        """

    def load(self, references: Mapping[int, KeyReference]) -> None:
        """Look up the key of every version; exactly these can be used from then on. Keys from a file are there."""

    def versions(self) -> tuple[int, ...]:
        """Return the KEK versions this process can use, ascending."""

    def check_value(self, version: int) -> str | None:
        """Return the key check value (6 hex characters), or None where the token does not tell."""

    def wrap(self, version: int, requests: Sequence[WrapRequest]) -> list[bytes | KeyFailure]:
        """Return one 60-byte wrap or failure per request, in order. Raises OpsError when the provider itself is ill."""

    def unwrap(self, requests: Sequence[UnwrapRequest], *, trial: bool = False) -> list[bytes | KeyFailure]:
        """Return one 32-byte DEK or failure per request, in order.

        trial: a failure is an answer, as while the layout is found. It is asked for once: HSMs audit failures.
        """

    def rewrap(
        self, to_version: int, requests: Sequence[UnwrapRequest], *, prove: Collection[int] | None = None
    ) -> list[bytes | KeyFailure]:
        """Return one new wrap of the same DEK under `to_version` per request.

        prove: places in `requests` whose new wrap is opened again before it is given; None = all of them. The rest is
        the caller's to prove. Raises ValueError for a place outside `requests`.
        """

    def close(self) -> None:
        """End sessions and workers. Safe to call twice."""


def proof_marks(count: int, prove: Collection[int] | None) -> list[bool]:
    """Return, for each of `count` items, whether its new wrap is opened again. Raises ValueError: no such place."""
    if prove is None:
        return [True] * count
    # WHY refused: a negative or shifted place would prove another item, and nobody would miss the proof.
    outside = [place for place in prove if not 0 <= place < count]
    if outside:
        raise ValueError(f"places to prove {outside} are outside a batch of {count}")
    marks = [False] * count
    for place in prove:
        marks[place] = True
    return marks
