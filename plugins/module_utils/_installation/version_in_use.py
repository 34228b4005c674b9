# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether a KEK version is out of use: not active, in no rotation, with no process, and for long enough. Reads only."""

from __future__ import annotations

from datetime import timedelta

from .._domain.errors import OpsError
from .._domain.instants import rfc3339
from .._domain.listing import listed
from .._store import heartbeats, rotations
from .._store.keystore import KeyState
from .installation import Installation


def _never_used(installation: Installation, version: int) -> bool:
    """Return whether no backup can need a version: it was never active, and this collection made no wrap with it."""
    row = installation.keystore.rows.get(version)
    return row is not None and row.state == KeyState.PRE_ACTIVATION and row.invocations == 0


def require_out_of_use(installation: Installation, version: int, *, grace: int) -> None:
    """Refuse a version that is in use.

    grace: seconds that must have passed since the last rotation. Raises OpsError remove.active, .rotation_running,
    .in_use_by_process, .too_soon.
    """
    active = installation.keystore.active
    if active is None or active.version == version:
        raise OpsError(
            f"KEK version {version} is active",
            code="remove.active",
            hint="rotate to a newer version first",
        )
    latest = rotations.latest(installation.store)
    if latest is not None and not latest.state.ended:
        raise OpsError(
            f'rotation "{latest.name}" is {latest.state}, expected complete',
            code="remove.rotation_running",
            hint=f"run kek_rotate with to_version {latest.to_version} to its end",
        )
    using = [process.id for process in heartbeats.read(installation.store).live if process.current_version == version]
    if using:
        raise OpsError(
            f"live processes write with version {version}: {listed(using)}",
            code="remove.in_use_by_process",
            hint="they follow within a heartbeat (30 s); restart those that do not",
        )
    if _never_used(installation, version):
        return
    over = latest.updated_at + timedelta(seconds=grace) if latest is not None and latest.updated_at else None
    if grace and (over is None or installation.store.server_time() < over):
        raise OpsError(
            f"the grace period of {grace} s since the rotation ends {rfc3339(over)}",
            code="remove.too_soon",
            hint="wait, so that the backups of that time can still be read; or set `grace: 0`",
        )
