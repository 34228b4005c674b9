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
    """Look at the fleet until it is ready. Raises OpsError fleet.not_ready, fleet.empty, and what opening raises."""
    deadline = time.monotonic() + options.wait_timeout
    with open_installation(settings) as opened:
        installation = opened
        while True:
            found = readiness(installation, options.target or _default_target(installation))
            refused = refusal(found, allow_empty_fleet=options.allow_empty_fleet)
            if refused is None:
                return Result(changed=False, values={"fleet_gate": found.as_result()}, before={}, after={})
            if time.monotonic() >= deadline:
                raise refused
            time.sleep(POLL_S)
            # WHY: a rotation may have made another version active while this run waited.
            installation = replace(opened, keystore=keystore.read(opened.store))


def _default_target(installation: Installation) -> int:
    active = installation.keystore.active
    return active.version if active else max(installation.provider.versions())
