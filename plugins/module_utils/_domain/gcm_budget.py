# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How many wraps a KEK version may make: AES-GCM with random 96-bit IVs has a limit per key. Pure.

Source: NIST SP 800-38D section 8.3, at most 2^32 invocations per key. The count is kept in the keystore; a restored
backup rolls it back, so the envelopes that are under the version count too and the larger number rules. The product's
own writes are not counted by us: the margin of a tenth is for them.
"""

from __future__ import annotations

from .errors import OpsError

LIMIT = 2**32
REFUSE_AT = LIMIT * 9 // 10
WARN_AT = LIMIT // 2


def spent(counted: int, in_use: int) -> int:
    """Return the invocations to reckon with: counted in the keystore, or envelopes found under the version."""
    return max(counted, in_use)


def judge(version: int, used: int, planned: int) -> str | None:
    """Return a warning, None when there is plenty. Raises OpsError budget.exhausted before the limit is near."""
    total = used + planned
    if total > REFUSE_AT:
        raise OpsError(
            f"KEK version {version} has made {used} wraps and {planned} more would exceed {REFUSE_AT} (0.9 of 2^32)",
            code="budget.exhausted",
            hint="make a new KEK version and rotate to that one",
        )
    if total > WARN_AT:
        return f"KEK version {version} will have made {total} of at most {REFUSE_AT} wraps: plan a new version"
    return None
