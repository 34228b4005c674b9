# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Fresh wraps of a device, opened again and held against the payload: the only witness that the device cannot deceive.

PRIVATE to the collection. A device may return wrong bytes without an error, also when it opens the old wrap; it would
then seal the wrong data key and open it again without a contradiction. The payload's own tag tells (T27).
"""

from __future__ import annotations

import hmac
from collections.abc import Collection, Sequence

from .._domain.catalogue import Found
from .._domain.envelope import Envelope
from .._keys.provider import KeyFailure, UnwrapRequest
from .sealing import Sealing

Asked = tuple[Found, Envelope, UnwrapRequest]
UNPROVEN = KeyFailure("verification", "its payload does not open with the data key in it")


def checked(
    sealing: Sealing,
    to_version: int,
    asked: Sequence[Asked],
    wraps: Sequence[bytes | KeyFailure],
    chosen: Collection[int] | None,
) -> list[bytes | KeyFailure]:
    """Return the wraps, a failure in place of each chosen one that does not open its payload.

    chosen: indexes, None for all. A payload that was damaged before opens with no key; its wrap stands when the old and
    the new one open to the same data key.
    """
    places = [n for n, wrap in enumerate(wraps) if isinstance(wrap, bytes) and (chosen is None or n in chosen)]
    proved = list(wraps)
    fresh = [UnwrapRequest(to_version, bytes(wraps[n]), asked[n][2].aad) for n in places]  # type: ignore[arg-type]
    suspects: list[tuple[int, bytes]] = []
    for place, dek in zip(places, sealing.provider.unwrap(fresh) if fresh else [], strict=True):
        found, envelope, _request = asked[place]
        if isinstance(dek, KeyFailure):
            proved[place] = KeyFailure("verification", f"the fresh wrap did not open again ({dek.reason})")
        elif not sealing.opens_payload(found, envelope, dek):
            suspects.append((place, dek))
    old = [asked[place][2] for place, _dek in suspects]
    for (place, dek), again in zip(suspects, sealing.provider.unwrap(old) if old else [], strict=True):
        found, envelope, _request = asked[place]
        same = isinstance(again, bytes) and hmac.compare_digest(again, dek)
        if not same or sealing.opens_payload(found, envelope, again if isinstance(again, bytes) else dek):
            proved[place] = UNPROVEN
    return proved
