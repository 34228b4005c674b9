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
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from .aead import keyed_digest
from .errors import OpsError


@dataclass(frozen=True, slots=True)
class Verdict:
    """live: how many processes beat. behind: (process id, why) of those not ready. proven: ids with a proof."""

    target: int
    live: int
    behind: tuple[tuple[str, str], ...]
    proven: tuple[str, ...]

    @property
    def ready(self) -> bool:
        return not self.behind

    def as_result(self) -> dict[str, Any]:
        return {
            "target": self.target,
            "live": self.live,
            "ready": self.ready,
            "proven": list(self.proven),
            "behind": [{"process": process, "reason": reason} for process, reason in self.behind],
        }


def judge_loaded(processes: Iterable[Mapping[str, Any]], target: int, canary_dek: bytes | None) -> Verdict:
    """Return whether every live process has `target` loaded. canary_dek: of the target's canary, None where unknown."""
    behind, proven, live = [], [], 0
    for process in processes:
        if not process["live"]:
            continue
        live += 1
        proof = process["proofs"].get(str(target))
        if target not in process["loaded_versions"]:
            behind.append((process["id"], f"has loaded {process['loaded_versions']}, not {target}"))
        elif proof is not None and canary_dek is not None:
            if hmac.compare_digest(str(proof), proof_of(canary_dek, process["id"])):
                proven.append(process["id"])
            else:
                behind.append((process["id"], f"says it has loaded {target} but its key is another one"))
    return Verdict(target, live, tuple(behind), tuple(proven))


def judge_current(processes: Iterable[Mapping[str, Any]], target: int) -> Verdict:
    """Return whether every live process writes with `target` already."""
    live = [process for process in processes if process["live"]]
    behind = [(p["id"], f"writes with {p['current_version']}") for p in live if p["current_version"] != target]
    return Verdict(target, len(live), tuple(behind), ())


def proof_of(canary_dek: bytes, process_id: str) -> str:
    """Return the proof a process shows: HMAC-SHA-256 in hex over its id, keyed by the canary's data key."""
    return keyed_digest(canary_dek, process_id.encode()).hex()


def refusal(verdict: Verdict, *, allow_empty_fleet: bool) -> OpsError | None:
    """Return why a verdict does not let a rotation begin, None when it does."""
    if verdict.behind:
        listed = "; ".join(f"{process} {reason}" for process, reason in verdict.behind[:10])
        return OpsError(
            f"{len(verdict.behind)} of {verdict.live} live processes are not ready for KEK version {verdict.target}: "
            + listed,
            code="fleet.not_ready",
            hint="give the version's key to these hosts and restart; a stopped process counts for 120 s after its end",
            retryable=True,
            fleet_gate=verdict.as_result(),
        )
    if not verdict.live and not allow_empty_fleet:
        return OpsError(
            "no live process wrote a heartbeat within 120 s, so nobody proves to have the new version",
            code="fleet.empty",
            hint="start the service, or set `allow_empty_fleet: true` if it is stopped on purpose everywhere",
            fleet_gate=verdict.as_result(),
        )
    return None
