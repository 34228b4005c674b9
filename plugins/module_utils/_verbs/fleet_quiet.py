# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Verb fleet_quiet: for as long as any process would need to show itself, none does. It ends at the first that does."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from .._domain.errors import OpsError
from .._domain.heartbeat import Fleet
from .._domain.result import Result
from .._domain.settings import Settings
from .._installation.installation import open_database
from .._store import heartbeats

_PAUSE_S = 1.0


@dataclass(frozen=True, slots=True)
class Options:
    """quiet_for: seconds without a heartbeat; longer than the interval of the product, which is 30 s."""

    quiet_for: int = 35


def run(settings: Settings, options: Options, *, check: bool, warn: Callable[[str], None]) -> Result:
    """Wait and look. In check mode it looks once. Raises OpsError service.not_quiesced, service.options."""
    if options.quiet_for < 1:
        raise OpsError(
            f"quiet_for is {options.quiet_for}, expected seconds from 1",
            code="service.options",
            hint="leave it out, or give more seconds than the interval of the heartbeats",
        )
    with open_database(settings) as store:
        began = time.monotonic()
        before = fleet = heartbeats.read(store)
        while not check and (left := options.quiet_for - (time.monotonic() - began)) > 0:
            time.sleep(min(_PAUSE_S, left))
            fleet = heartbeats.read(store)
            _require_quiet(before, fleet, time.monotonic() - began)
    waited = 0.0 if check else round(time.monotonic() - began, 1)
    values = {"quiet_for_s": waited, "fleet": fleet.as_result()}
    return Result(changed=False, values=values, before={}, after={})


def _require_quiet(before: Fleet, now: Fleet, after_s: float) -> None:
    """Raises OpsError service.not_quiesced, with who wrote a heartbeat."""
    known = {process.id: process.updated_at for process in before.processes}
    moved = [process for process in now.processes if known.get(process.id) != process.updated_at]
    if not moved and now.newest_heartbeat == before.newest_heartbeat:
        return
    who = ", ".join(f"{process.id} on {process.hostname or 'an unknown host'}" for process in moved or now.live)
    raise OpsError(
        f"a process of the fleet wrote a heartbeat at {now.newest_heartbeat} ({who}), {after_s:.0f} s after the look "
        f"began, expected none after {before.newest_heartbeat or 'the first look'}",
        code="service.not_quiesced",
        hint="stop the product on every host that uses this database",
        fleet=now.as_result(),
    )
