# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What an operator asks of a rotation, and whether the answers fit together."""

from __future__ import annotations

import re
from dataclasses import dataclass

from .._domain.errors import OpsError
from .._domain.rotation import rotation_id

_RUN = re.compile(r"[0-9a-f]{0,64}")
SWAP = "swap"


@dataclass(frozen=True, slots=True)
class Options:
    """from_version: None means every other version. batch_size: documents. max_seconds: 0 for no limit.

    settle_timeout: seconds to wait after the swap until every live process writes with the new version.
    compromised: re-seal under new data keys and list what must be reissued. hsm_share: HSM calls a second of this
    process at most, 0 for no limit. workers: processes of this host that talk to the HSM. prove_wraps: which fresh
    wraps are opened again before they are written, one of wrap_proof.MODES.
    state: "rotated", or "cancelled" to take an unfinished rotation back to the active version.
    stop_before: "swap" to end when everything has moved and is verified, else "none".
    slice_of: name of the run that this one is a slice of, "" for a run of its own.
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
    prove_wraps: str = "all"
    stop_before: str = "none"
    slice_of: str = ""

    @property
    def name(self) -> str:
        """Id of the rotation."""
        return rotation_id(self.to_version)

    @property
    def stops_before_swap(self) -> bool:
        return self.stop_before == SWAP

    def validate(self) -> None:
        """Raises OpsError rotate.options, rotate.same_version."""
        counts = {"to_version": self.to_version, "batch_size": self.batch_size, "workers": self.workers}
        limits = {"max_seconds": self.max_seconds, "hsm_share": self.hsm_share}
        if min(counts.values()) < 1 or min(limits.values()) < 0:
            raise OpsError(
                ", ".join(f"{name} is {value}" for name, value in {**counts, **limits}.items()),
                code="rotate.options",
                hint="versions, batch_size and workers are whole numbers from 1, max_seconds and hsm_share from 0",
            )
        if not _RUN.fullmatch(self.slice_of):
            raise OpsError(
                "slice_of is not a name that the action plugin gives",
                code="rotate.options",
                hint="leave slice_of out; to run in slices, set slice_seconds",
            )
        if self.from_version == self.to_version:
            raise OpsError(
                f"from_version and to_version are both {self.to_version}",
                code="rotate.same_version",
                hint="leave from_version out to move every other version",
            )
