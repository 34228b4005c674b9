# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a migration leaves at the source, why, and what that means: the words of the report and of the guide. Pure."""

from __future__ import annotations

from collections.abc import Mapping

from ansible_collections.certautopilot.ops.plugins.module_utils._domain.what_travels import BOOKKEEPING, CARRIED

from ._report_parts import items, part

PEPPER, JWT = CARRIED
LOCKS, HEARTBEATS = "locks", "process_heartbeats"

# A word of a variable's name -> why it stays, what stops working without it. The first that fits; names are upper case.
SECRETS = {
    "PEPPER": (
        "it was not named in carry, or secrets.env has none",
        "every API key is refused, because their hashes depend on it; make new ones",
    ),
    "JWT": (
        "it was not named in carry, or secrets.env has none",
        "every session ends, because its token is signed with it; people log in again",
    ),
    "AUDIT": (
        "it was not named in carry",
        "audit verify finds the chain broken at the first entry of the source; verify those entries there",
    ),
    "KEK": (
        "the destination has a KEK of its own, and every envelope was sealed anew",
        "nothing; keep it with the backups",
    ),
    "DATABASE": ("the destination has a database of its own", "nothing"),
    "MONGO": ("the destination has a database of its own", "nothing"),
    "PIN": ("the destination's HSM has a PIN of its own", "nothing"),
}  # fmt: skip
OTHER_SECRET = (
    "it was not named in carry",
    "what reads it does so no more; give it as extra_secrets of migrate_destination",
)
NEVER_CARRIED = ("KEK", "DATABASE", "MONGO", "PIN")  # of SECRETS: a destination that has its own lacks nothing


def left_behind(facts: Mapping[str, object]) -> list[dict[str, str]]:
    """Return what did not travel: [{what, project, why, effect}], "" for what is of no project.

    facts: source (of kek_info), first and last (manifests of the two bundles), secrets_left (names).
    """
    return [
        *_bookkeeping(),
        *_secrets(facts),
        *_views(facts),
        *_options(facts),
        _entry(
            "files beside the database (TLS certificates, the proxy's configuration, what is in config.yaml by hand)",
            "they are no records; the destination's were written by the role install",
            "compare the two config.yaml where somebody has changed the source's",
        ),
    ]


def notes() -> list[str]:
    """Return what travelled although one may expect otherwise."""
    jobs = (
        "Jobs and tokens are records and did travel. A job that was under way when the source was stopped is as the "
        "source left it; the product takes it up or tries it again."
    )
    renewals = (
        "The renewal of certificates rests while nothing serves. The destination's scheduler takes up what is due in "
        "its first sweep, an hour after its start at the latest unless scheduler.interval says otherwise."
    )
    return [jobs, renewals]


def _entry(what: str, why: str, effect: str, project: str = "") -> dict[str, str]:
    return {"what": what, "project": project, "why": why, "effect": effect}


def _bookkeeping() -> list[dict[str, str]]:
    keys = ", ".join(sorted(BOOKKEEPING - {LOCKS, HEARTBEATS}))
    return [
        _entry(
            f"keystore, install lock and history of rotations ({keys})",
            "they tell of the source's keys, and the destination has its own",
            "nothing; the history can be read at the source and in its backup",
        ),
        _entry(
            LOCKS,
            "a lock belongs to a process that ran at the source",
            "nothing; the destination's processes take their own",
        ),
        _entry(
            HEARTBEATS,
            "they tell of processes of the source",
            "nothing; the destination's processes write their own",
        ),
    ]


def _secrets(facts: Mapping[str, object]) -> list[dict[str, str]]:
    """Return the variables of secrets.env that stayed, those of which something depends on them first."""
    carried = {str(name) for name in items(facts, "last", "carried")}
    names = {str(name) for name in items(facts, "secrets_left")} | {*CARRIED}
    kept = sorted(names - carried, key=lambda name: (_kind(name) in NEVER_CARRIED, name))
    return [_entry(name, *SECRETS.get(_kind(name), OTHER_SECRET)) for name in kept]


def _kind(name: str) -> str:
    return next((kind for kind in SECRETS if kind in name.upper()), "")


def _views(facts: Mapping[str, object]) -> list[dict[str, str]]:
    return [
        _entry(f"view or time series {name}", "it is made of other records, or kept in a form of its own",
               "whoever reads it finds nothing; make it again if the product does not")
        for name in items(facts, "source", "database", "views")
    ]  # fmt: skip


def _options(facts: Mapping[str, object]) -> list[dict[str, str]]:
    metadata = part(facts, "last", "metadata") or part(facts, "first", "metadata")
    return [
        _entry(f"{name}: {what}", "another server may not know it, or it decides which records stay",
               "the destination's collection has no such limit or index; decide whether it needs it")
        for name in sorted(metadata)
        for what in items(metadata, name, "left")
    ]  # fmt: skip
