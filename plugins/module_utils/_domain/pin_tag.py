# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A short tag of a refused PIN: enough to know the PIN again, too little to find it out.

ADR-0015.
"""

from __future__ import annotations

import hmac

from .secret import Secret

SALT_LENGTH = 16  # bytes
TAG_BITS = 10
SHORT = 8  # characters: below, a PIN is one of so few that less may be told of it (X32)
SHORT_BITS = 5
_OF_ALL = b"certautopilot.ops: a refused PIN that is short"


def tag(salt: bytes, refused_pin: Secret[str]) -> int:
    """Return the first bits of HMAC-SHA-256 of the PIN: 10 under the salt, of a short PIN 5 under a key of all.

    SAFE BECAUSE it is made of refused PINs only, and one salt for each token gives a PIN the same tag each time:
    whoever reads it can drop all but one in 1024 guesses at a PIN that opens nothing. It would not be safe for a PIN
    that is right, nor with a new salt for each refusal: two of those leave one guess in a million. For the same reason
    a short PIN has one tag in all databases: 312 of 10,000 are left, however many of them are read.
    Source: RFC 2104; the cut takes the leftmost bits, its section 5.
    """
    pin = refused_pin.reveal()
    key, bits = (_OF_ALL, SHORT_BITS) if len(pin) < SHORT else (salt, TAG_BITS)
    digest = hmac.digest(key, pin.encode("utf-8"), "sha256")
    return int.from_bytes(digest[:2], "big") >> (16 - bits)
