# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether every live process of the fleet can use a KEK version, or writes with it already. Pure.

A heartbeat may carry a proof for a version: the process opened the version's canary and shows an HMAC made with the
canary's data key over its own id. Loaded is then proven; without it, it is only claimed. Source: vendor's
fleet-readiness page (a version must be loaded, not yet current, before a rotation).
"""

from __future__ import annotations

import hmac
from collections.abc import Iterable
from dataclasses import dataclass

from .aead import keyed_digest
from .errors import OpsError
from .heartbeat import LIVE_FOR_S, Process
from .values import JsonObject


@dataclass(frozen=True, slots=True)
class Readiness:
    """live: how many processes live. behind: (process id, why) of those not ready. proven: ids with a proof."""

    target: int
    live: int
    behind: tuple[tuple[str, str], ...]
    proven: tuple[str, ...] = ()

    @property
    def ready(self) -> bool:
        return not self.behind

    def as_result(self) -> JsonObject:
        return {
            "target": self.target,
            "live": self.live,
            "ready": self.ready,
            "proven": list(self.proven),
            "behind": [{"process": process, "reason": reason} for process, reason in self.behind],
        }


def who_loaded(processes: Iterable[Process], target: int, canary_dek: bytes | None) -> Readiness:
    """Return whether every live process has `target` loaded. canary_dek: of the target's canary, None where unknown."""
    behind, proven, live = [], [], [process for process in processes if process.live]
    for process in live:
        proof = process.proofs.get(str(target))
        if target not in process.loaded_versions:
            behind.append((process.id, f"has loaded {list(process.loaded_versions)}, not {target}"))
        elif proof is not None and canary_dek is not None:
            if hmac.compare_digest(proof, proof_of(canary_dek, process.id)):
                proven.append(process.id)
            else:
                behind.append((process.id, f"says it has loaded {target} but its key is another one"))
    return Readiness(target, len(live), tuple(behind), tuple(proven))


def who_writes_with(processes: Iterable[Process], target: int) -> Readiness:
    """Return whether every live process writes with `target` already."""
    live = [process for process in processes if process.live]
    behind = [(p.id, f"writes with {p.current_version}") for p in live if p.current_version != target]
    return Readiness(target, len(live), tuple(behind))


def proof_of(canary_dek: bytes, process_id: str) -> str:
    """Return the proof a process shows: HMAC-SHA-256 in hex over its id, keyed by the canary's data key."""
    return keyed_digest(canary_dek, process_id.encode()).hex()


def refusal(found: Readiness, *, allow_empty_fleet: bool) -> OpsError | None:
    """Return why a fleet does not let a rotation begin, None when it does."""
    if found.behind:
        listed = "; ".join(f"{process} {reason}" for process, reason in found.behind[:10])
        return OpsError(
            f"{len(found.behind)} of {found.live} live processes are not ready for KEK version {found.target}: "
            + listed,
            code="fleet.not_ready",
            hint="give the version's key to these hosts and restart; a stopped process counts as live until its last "
            f"heartbeat is {LIVE_FOR_S} s old",
            retryable=True,
            fleet_gate=found.as_result(),
        )
    if not found.live and not allow_empty_fleet:
        return OpsError(
            f"there is no live process: no heartbeat is at most {LIVE_FOR_S} s old, so none proves to have it",
            code="fleet.empty",
            hint="start the service, or set `allow_empty_fleet: true` if it is stopped on purpose everywhere",
            fleet_gate=found.as_result(),
        )
    return None
