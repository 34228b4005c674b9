# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Verb migration_accept: the destination's import was proven equal, from now on it serves.

After it, importing again is refused, because that would overwrite newer records. A rollback withdraws it: the source
serves again and is the truth, so the destination may be imported into once more.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from .._domain.errors import OpsError
from .._domain.result import Result
from .._domain.settings import Settings
from .._installation.installation import open_database
from .._store import changes, imports, journal
from .._store.imports import ImportState

# asked state -> (state it leaves, state it enters)
ASKED = {
    "accepted": (ImportState.PROVEN, ImportState.ACCEPTED),
    "withdrawn": (ImportState.ACCEPTED, ImportState.PROVEN),
}


@dataclass(frozen=True, slots=True)
class Options:
    """source_install_id: which import, None where the database has exactly one. state: a key of ASKED."""

    source_install_id: str | None = None
    state: str = "accepted"


def run(settings: Settings, options: Options, *, check: bool, warn: Callable[[str], None]) -> Result:
    """Accept the import, or withdraw that. Raises OpsError migration.none, .ambiguous, .not_proven, .moved."""
    leaves, enters = ASKED[options.state]
    with open_database(settings) as store:
        chosen = imports.chosen(store, options.source_install_id)
        source, before = chosen.source_install_id, {"state": chosen.state}
        if chosen.state == enters or (options.state == "withdrawn" and chosen.state != leaves):
            return Result(changed=False, values={"migration": chosen.as_result()}, before=before, after=before)
        if chosen.state != leaves:
            raise OpsError(
                f'the import from {source} is "{chosen.state}", expected "{leaves}"',
                code="migration.not_proven",
                hint="run data_import with the source's last bundle first; only an import that was proven is accepted",
            )
        if not check:
            # WHY noted before: everything that the destination writes once it may serve comes after this place.
            facts = {"since": changes.begin(store)} if enters == ImportState.ACCEPTED else {}
            mine = {"bundle_id": chosen.bundle}  # WHY: what is accepted is what was read here, and not what came since
            if not imports.advance(store, source, leaves=leaves, enters=enters, mine=mine, facts=facts):
                raise OpsError(
                    "the import changed meanwhile",
                    code="migration.moved",
                    hint="another run is at work; run it again",
                    retryable=True,
                )
            told = {"source": source, "bundle": chosen.bundle, "state": options.state}
            journal.append(store, "migration_accept", told)
        values = {"migration": replace(chosen, state=enters.value).as_result()}
        return Result(changed=True, values=values, before=before, after={"state": enters.value})
