# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Verb kek_verify: is every live process ready for a KEK version. Reads only; may wait.

The gate of a rotation, on its own and with patience; a rotation asks it once more (`_rotation/plan.py`).
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace

from .._domain.errors import OpsError
from .._domain.fleet_gate import refusal
from .._domain.result import Result
from .._domain.settings import Settings
from .._installation.fleet_readiness import readiness
from .._installation.installation import Installation, open_installation
from .._store import keystore

POLL_S = 1.0


@dataclass(frozen=True, slots=True)
class Options:
    """target: KEK version, None for the active one. wait_timeout: seconds to wait for the fleet, 0 to look once."""

    target: int | None = None
    allow_empty_fleet: bool = False
    wait_timeout: int = 0


def run(settings: Settings, options: Options, *, check: bool, warn: Callable[[str], None]) -> Result:
    """Look at the fleet until it is ready. Raises OpsError fleet.not_ready, fleet.empty, key.*; what opening raises."""
    deadline = time.monotonic() + options.wait_timeout
    with open_installation(settings) as opened:
        installation = opened
        while True:
            target = options.target or _default_target(installation)
            _require_usable(installation, target)
            found = readiness(installation, target)
            refused = refusal(found, allow_empty_fleet=options.allow_empty_fleet)
            if refused is None:
                return Result(changed=False, values={"fleet_gate": found.as_result()}, before={}, after={})
            if time.monotonic() >= deadline:
                raise refused
            time.sleep(POLL_S)
            # WHY: a rotation may have made another version active while this run waited.
            installation = replace(opened, keystore=keystore.read(opened.store))


def _require_usable(installation: Installation, target: int) -> None:
    """Raises OpsError key.removed, key.not_loaded: "ready" is said of what was proven on this host too (X64)."""
    row, loaded = installation.keystore.rows.get(target), installation.provider.versions()
    if row is not None and row.removed:
        raise OpsError(
            f"KEK version {target} was removed; nothing may use it again",
            code="key.removed",
            hint="name a version that is in use; kek_info lists them",
        )
    if target not in loaded:
        raise OpsError(
            f"KEK version {target} is not loaded on this host; loaded: {list(loaded) or 'none'}",
            code="key.not_loaded",
            hint="give this host the KEK of the version (secrets.env or the HSM token), or name another version",
        )


def _default_target(installation: Installation) -> int:
    active = installation.keystore.active
    return active.version if active else max(installation.provider.versions())
