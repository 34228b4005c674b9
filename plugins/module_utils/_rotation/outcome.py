# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a rotation returns: counts, failures, what must be reissued, and the errors of one that is not done."""

from __future__ import annotations

from typing import Any

from .._domain import exposure
from .._domain.catalogue import Catalogue
from .._domain.errors import OpsError
from .._installation.survey import Survey
from .._store import records
from .._store.connection import Store
from .pipeline import Progress

FAILURES_LISTED = 1000
REISSUE_LISTED = 1000


def result_of(name: str, state: str, facts: dict[str, Any], progress: Progress, *, remaining: int) -> dict[str, Any]:
    """Return a rotation as modules show it."""
    return {
        "id": name,
        "state": state,
        **facts,
        "rewrapped": progress.rewrapped,
        "remaining": remaining,
        "conflicts": progress.conflicts,
        "failures": [failure.as_result() for failure in progress.failures.values()][:FAILURES_LISTED],
    }


def by_version(found: Survey) -> dict[str, int]:
    """Return KEK version -> envelopes, as the diff shows it."""
    return {str(version): count for version, count in sorted(found.by_version.items())}


def reissue_list(store: Store, catalogue: Catalogue) -> dict[str, Any]:
    """Return {reissue, reissue_total}: every secret that was under a compromised KEK, most exposed and oldest first."""
    places: list[tuple[int, str, str, str]] = []
    total = 0
    for collection in sorted(catalogue.collections(), key=exposure.rank):
        mine = []
        for document in records.stream(store, collection):
            since = str(document.get("created_at") or "")
            mine += [(since, found.place) for found in catalogue.envelopes(collection, document)]
        total += len(mine)
        room = REISSUE_LISTED - len(places)
        action = exposure.action(collection)
        places += [(exposure.rank(collection), since, place, action) for since, place in sorted(mine)[:room]]
    return {
        "reissue": [{"place": place, "action": act} for _rank, _since, place, act in places],
        "reissue_total": total,
    }


def incomplete(result: dict[str, Any], progress: Progress, *, swapped: bool) -> OpsError:
    """Return the failure of a rotation that had to leave envelopes behind."""
    first = next(iter(progress.failures.values()))
    active = "is active already" if swapped else "was not made active"
    return OpsError(
        f"{len(progress.failures)} envelope(s) could not be re-wrapped, {progress.rewrapped} were; the first: "
        f"{first.place}: {first.reason}",
        code="rotate.incomplete",
        hint=f"repair or restore the listed records and run it again; the new version {active}",
        rotation=result,
        changed=progress.rewrapped > 0 or swapped,
    )


def not_settled(result: dict[str, Any], behind: tuple[tuple[str, str], ...]) -> OpsError:
    """Return the failure of a rotation that live processes do not follow yet."""
    listed = "; ".join(f"{process} {reason}" for process, reason in behind[:10])
    return OpsError(
        f"the version is active but {len(behind)} live process(es) still write with another: {listed}",
        code="rotate.not_settled",
        hint="run it again when they have followed (a heartbeat is 30 s), or restart them",
        retryable=True,
        rotation=result,
        changed=True,
    )


def fenced(name: str) -> OpsError:
    """Return the failure of a leader whose lease went to another one."""
    return OpsError(
        f'rotation "{name}" was taken up by another run',
        code="rotate.fenced",
        hint="that run goes on; watch it with kek_info",
        retryable=True,
    )


def swap_lost() -> OpsError:
    """Return the failure of a leader that found another version active than it had read."""
    return OpsError(
        "the active version was changed by another run",
        code="rotate.swap_lost",
        hint="look at kek_info, then run it again",
        retryable=True,
    )
