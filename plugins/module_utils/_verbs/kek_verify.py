# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Verb kek_verify: is every live process ready for a KEK version. Reads only; may wait.

The gate of a rotation, on its own and with patience; a rotation asks it once more (`_rotation/plan.py`).
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from .._domain.fleet_gate import refusal
from .._domain.result import Result
from .._domain.settings import Settings
from .._installation.fleet_readiness import judged
from .._installation.installation import open_installation

POLL_S = 1.0


@dataclass(frozen=True, slots=True)
class Options:
    """target: KEK version, None for the active one. wait_timeout: seconds to wait for the fleet, 0 to look once."""

    target: int | None = None
    allow_empty_fleet: bool = False
    wait_timeout: int = 0


def run(settings: Settings, options: Options, *, check: bool, warn: Callable[[str], None]) -> Result:
    """Judge the fleet. Raises OpsError fleet.not_ready, fleet.empty with the last state, and what opening raises."""
    deadline = time.monotonic() + options.wait_timeout
    with open_installation(settings) as installation:
        active = installation.keystore.active
        target = options.target or (active.version if active else max(installation.provider.versions()))
        while True:
            verdict = judged(installation, target)
            refused = refusal(verdict, allow_empty_fleet=options.allow_empty_fleet)
            if refused is None:
                return Result(changed=False, values={"fleet_gate": verdict.as_result()}, before={}, after={})
            if time.monotonic() >= deadline:
                raise refused
            time.sleep(POLL_S)
