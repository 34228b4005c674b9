# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether every live process of the fleet is ready for a KEK version, as the database shows it now."""

from __future__ import annotations

from .._domain.fleet_gate import Readiness, who_loaded
from .._store import heartbeats
from .canaries import canary_dek
from .installation import Installation


def readiness(installation: Installation, target: int) -> Readiness:
    """Return how ready the fleet is for a version, as it is now."""
    row = installation.keystore.rows.get(target)
    dek = None
    if row is not None and row.canary is not None and target in installation.provider.versions():
        dek = canary_dek(installation.provider, row)
    return who_loaded(heartbeats.read(installation.store).processes, target, dek)
