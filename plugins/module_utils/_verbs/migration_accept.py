# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Verb migration_accept: the destination's import was proven equal, from now on it serves.

After it, importing again is refused, because that would overwrite newer records. A rollback withdraws it: the source
serves again and is the truth, so the destination may be imported into once more.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from .._domain.errors import OpsError
from .._domain.result import Result
from .._domain.settings import Settings
from .._installation.installation import open_database
from .._store import imports, journal
from .._store.imports import ImportRecord, ImportState

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
        chosen = _chosen(imports.read_all(store), options.source_install_id)
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
            # WHY the bundle: what is accepted is what was read here as proven, and not what came since.
            if not imports.advance(store, source, leaves=leaves, enters=enters, mine={"bundle_id": chosen.bundle}):
                raise OpsError(
                    "the import changed meanwhile",
                    code="migration.moved",
                    hint="another run is at work; run it again",
                    retryable=True,
                )
            facts = {"source": source, "bundle": chosen.bundle, "state": options.state}
            journal.append(store, "migration_accept", facts)
        values = {"migration": replace(chosen, state=enters.value).as_result()}
        return Result(changed=True, values=values, before=before, after={"state": enters.value})


def _chosen(found: Sequence[ImportRecord], wanted: str | None) -> ImportRecord:
    matching = [entry for entry in found if wanted is None or entry.source_install_id == wanted]
    if not matching:
        raise OpsError(
            "no import to accept in this database" + (f" from {wanted}" if wanted else ""),
            code="migration.none",
            hint="run data_import first",
        )
    if len(matching) > 1:
        raise OpsError(
            f"{len(matching)} imports in this database",
            code="migration.ambiguous",
            hint="name one by `source_install_id`",
        )
    return matching[0]
