# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What every KEK provider can do, in batches: one round trip to a worker carries hundreds of envelopes.

A wrap on this floor is always `iv(12) + encrypted DEK(32) + tag(16)`, whatever the database stores; `_domain/layout.py`
turns stored forms into it and back.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from typing import Protocol

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


class Provider(Protocol):
    """A loaded KEK provider. Obtained from `registry.build_registry`, closed by whoever opened it."""

    name: str
    device: bool  # True where another device computes, which may be wrong without saying so

    @property
    def retries(self) -> int:
        """Return how many calls had to be made again since the provider was opened."""

    def versions(self) -> tuple[int, ...]:
        """Return the KEK versions this process can use, ascending."""

    def check_value(self, version: int) -> str | None:
        """Return the key check value (6 hex characters), or None where the token does not tell."""

    def wrap(self, version: int, requests: Sequence[WrapRequest]) -> list[bytes | KeyFailure]:
        """Return one 60-byte wrap or failure per request, in order. Raises OpsError when the provider itself is ill."""

    def unwrap(self, requests: Sequence[UnwrapRequest]) -> list[bytes | KeyFailure]:
        """Return one 32-byte DEK or failure per request, in order."""

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
