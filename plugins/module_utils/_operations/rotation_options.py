# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What an operator may ask of a rotation, and the refusals that need no database.

PRIVATE to the collection.
"""

from __future__ import annotations

from dataclasses import dataclass

from .._domain.errors import OpsError


@dataclass(frozen=True, slots=True)
class Options:
    """from_version: None means every other version. batch_size: documents. max_seconds: 0 for no limit.

    settle_timeout: seconds to wait after the swap until every live process writes with the new version.
    compromised: re-seal under new data keys and list what must be reissued. hsm_share: HSM calls a second of this
    process at most, 0 for no limit. workers: processes of this host that talk to the HSM. verify: which fresh wraps are
    opened again before they are written, one of wrap_proof.MODES.
    state: "rotated", or "cancelled" to take an unfinished rotation back to the active version.
    """

    to_version: int
    from_version: int | None = None
    batch_size: int = 500
    max_seconds: int = 0
    allow_empty_fleet: bool = False
    settle_timeout: int = 90
    allow_downgrade: bool = False
    state: str = "rotated"
    compromised: bool = False
    hsm_share: int = 0
    workers: int = 1
    verify: str = "all"

    def judge(self) -> None:
        """Raises OpsError rotate.options, rotate.same_version."""
        counts = {"to_version": self.to_version, "batch_size": self.batch_size, "workers": self.workers}
        limits = {"max_seconds": self.max_seconds, "hsm_share": self.hsm_share}
        if min(counts.values()) < 1 or min(limits.values()) < 0:
            raise OpsError(
                ", ".join(f"{name} is {value}" for name, value in {**counts, **limits}.items()),
                code="rotate.options",
                hint="versions, batch_size and workers are whole numbers from 1, max_seconds and hsm_share from 0",
            )
        if self.from_version == self.to_version:
            raise OpsError(
                f"from_version and to_version are both {self.to_version}",
                code="rotate.same_version",
                hint="leave from_version out to move every other version",
            )
