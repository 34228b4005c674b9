# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a migration reports, made of what its stages knew: the JSON, from which the page is drawn. Pure.

Everything is counted by the modules, from the bytes that they wrote or compared; here it is only put side by side.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ._left_behind import left_behind, notes
from ._report_parts import count, items, part, seconds_between, word
from ._ways_on import going_back, retiring

FORMAT = "certautopilot.ops/report/1"
MIGRATION, ROTATION, REHEARSAL = "migration", "rotation", "rehearsal"

STAGES = {
    "backup": "the source is backed up, and the backup opened",
    "export": "every record is exported while the source serves",
    "empty": "the destination's database is still free",
    "install": "the destination has its new provider, and is stopped",
    "import": "every record is sealed under the destination's key, opened again and compared",
    "quiesce": "the source is stopped on all of its hosts",
    "differences": "what changed meanwhile follows",
    "proof": "what changed is compared, and nothing else has moved on either side",
    "accept": "the source is retired, and the destination is the installation from now on",
    "start": "the destination starts and answers",
    "report": "the report is written, and the bundle removed",
}
FROZEN = ("quiesce", "differences", "proof", "accept", "start")


def migration_report(facts: Mapping[str, object]) -> dict[str, object]:
    """Return the report of a migration. facts: see the page of the filter; what is not there is left empty."""
    started = part(facts, "stages_started")
    kind = word(facts, "kind") or MIGRATION
    # A rehearsal stops nothing, and leaves a source that serves.
    real = kind != REHEARSAL
    was_run = real or bool(part(facts, "last"))
    return {
        "format": FORMAT,
        "kind": kind,
        "began": word(facts, "began") or min(map(str, started.values()), default=""),
        "finished": word(facts, "finished"),
        "hosts": {side: items(facts, "hosts", side) for side in ("source", "destination")},
        "from": part(facts, "source", "lock"),
        "to": part(facts, "destination", "lock"),
        "databases": {side: word(facts, side, "database", "name") for side in ("source", "destination")},
        "keys": {side: keys_of(part(facts, side)) for side in ("source", "destination")},
        **_proven(facts),
        "envelopes": sum(count(part(facts, "first", "sealed"), name) for name in part(facts, "first", "sealed")),
        "collections": _collections(facts),
        "projects": _projects(facts),
        "expiring": _expiring(facts),
        "not_travelled": left_behind(facts) if was_run else [],
        "notes": notes() if was_run else [],
        "warnings": _warnings(facts),
        "bundles": [_bundle(one) for one in (part(facts, "first"), part(facts, "last")) if one],
        "backups_kept": items(facts, "backups_kept"),
        "backup": part(facts, "backup"),
        "stages_started": started,
        "stages": _stages(started, word(facts, "finished"), FROZEN if real else ()),
        "freeze": part(facts, "freeze"),
        "going_back": going_back(facts) if real else [],
        "retiring": retiring(facts) if real else [],
    }


def _proven(facts: Mapping[str, object]) -> dict[str, object]:
    proof = part(facts, "proof")
    return {
        "records": count(proof, "records"),
        "equal": count(proof, "equal"),
        "lost": len(items(proof, "missing")) + len(items(proof, "different")),
        "bundle": word(proof, "bundle_id"),
        "opened_after_quiesce": count(proof, "opened"),
        "changes_found_by": word(proof, "found_by"),
        "destination_unmoved_by": word(proof, "unmoved_by"),
    }


def _stages(started: Mapping[str, object], finished: str, frozen: Sequence[str]) -> list[dict[str, object]]:
    """Return the stages that began, in their order; each ends when the next one begins."""
    began = [(name, word(started, name)) for name in STAGES if name in started]
    ends = [*(instant for _name, instant in began[1:]), finished]
    return [
        {
            "name": name,
            "said": STAGES[name],
            "began": instant,
            "ended": end,
            "seconds": round(seconds_between(instant, end), 1),
            "frozen": name in frozen,
        }
        for (name, instant), end in zip(began, ends[: len(began)], strict=True)
    ]


def keys_of(info: Mapping[str, object]) -> dict[str, object]:
    """Return of each KEK version what anybody may know. info: of kek_info."""
    versions = [
        {
            "version": count(one, "version"),
            "provider": word(one, "provider"),
            "state": word(one, "state"),
            "check_value": word(one, "key", "check_value") or word(one, "key", "fingerprint"),
        }
        for one in items(info, "versions")
    ]
    return {"active": count(info, "active", "version"), "versions": versions}


def _collections(facts: Mapping[str, object]) -> list[dict[str, object]]:
    """Return for each collection what was exported and equal while the source served, and what changed since."""
    exported, equal = part(facts, "first", "collections"), part(facts, "first_proof", "equal_by", "collection")
    changed, removed = part(facts, "last", "collections"), part(facts, "last", "removed")
    sealed = part(facts, "first", "sealed")
    named = sorted({*exported, *changed, *removed, *part(facts, "last", "metadata")})
    return [
        {
            "name": name,
            "exported": count(exported, name),
            "equal": count(equal, name),
            "changed": count(changed, name),
            "removed": count(removed, name),
            "envelopes": sum(count(sealed, field) for field in sealed if field.partition(".")[0] == name),
        }
        for name in named
    ]


def _projects(facts: Mapping[str, object]) -> list[dict[str, object]]:
    """Return the same for each project, and under id "" for records of none. A project may be gone, or new."""
    exported, equal = part(facts, "first", "by_project"), part(facts, "first_proof", "equal_by", "project")
    changed, expiring = part(facts, "last", "by_project"), part(facts, "first", "expiring", "by_project")
    names = _project_names(facts)
    told = [
        {
            "id": project,
            "name": names.get(project, ""),
            "exported": count(exported, project),
            "equal": count(equal, project),
            "changed": count(changed, project),
            "expiring": count(expiring, project),
        }
        for project in {**names, **exported, **changed}
    ]
    return sorted(told, key=lambda one: (one["id"] == "", str(one["name"]), str(one["id"])))


def _project_names(facts: Mapping[str, object]) -> dict[str, str]:
    listed = [*items(facts, "first", "projects"), *items(facts, "last", "projects")]
    return {word(one, "id"): word(one, "name") for one in listed}


def _expiring(facts: Mapping[str, object]) -> dict[str, object]:
    """Return the certificates that run out soon after the migration, of both bundles, the first one first."""
    first, last = part(facts, "first", "expiring"), part(facts, "last", "expiring")
    both = {word(one, "id"): part(one) for told in (first, last) for one in items(told, "certificates")}
    names = _project_names(facts)
    named = [{**one, "project": names.get(word(one, "project")) or word(one, "project")} for one in both.values()]
    soonest = sorted(named, key=lambda one: word(one, "not_after"))
    return {
        "within_days": count(last or first, "within_days"),
        "count": max(count(first, "count"), len(soonest)),
        "while_frozen": [word(one, "id") for one in soonest if _ran_out_frozen(facts, word(one, "not_after"))],
        "certificates": soonest,
    }


def _ran_out_frozen(facts: Mapping[str, object], not_after: str) -> bool:
    """Return whether a certificate ran out while nothing served, when nobody could renew it."""
    began, finished = word(facts, "stages_started", "quiesce"), word(facts, "finished")
    if not (began and finished and not_after):
        return False
    # Instants are RFC 3339 in UTC; to the second they sort as they are read.
    return began[:19] <= not_after[:19] <= finished[:19]


def _bundle(manifest: Mapping[str, object]) -> dict[str, object]:
    names = ("bundle_id", "base", "created_at", "found_by", "layout", "records_sha256", "records_digest",
             "source_digest", "metadata_sha256", "manifest_sha256")  # fmt: skip
    return {
        **{name: word(manifest, name) for name in names},
        "records": count(manifest, "records"),
        "carried": items(manifest, "carried"),
        "recipients": items(manifest, "recipients"),
    }


def _warnings(facts: Mapping[str, object]) -> list[str]:
    """Return what modules warned of, and what of options and indexes the destination has otherwise."""
    metadata = part(facts, "proof", "metadata")
    return [
        *(str(one) for one in items(facts, "warnings")),
        *(f"{one} is missing at the destination" for one in items(metadata, "missing")),
        *(f"{one} differs at the destination" for one in items(metadata, "different")),
    ]
