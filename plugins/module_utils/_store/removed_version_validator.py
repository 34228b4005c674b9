# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The fence around a removed KEK version: the server itself refuses every write that carries it.

A writer that slept since before a rotation may wake up and write an envelope that nobody can open any more; no
heartbeat shows it (T1, T3). A validator on each catalogued collection stops it in the write itself, whatever program it
is. Source: MongoDB manual, "Schema Validation". ADR-0012.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from .._domain.errors import OpsError
from .connection import Store, driver_errors
from .driver import Document

OUR_TAG = "kek_version"


def raise_around(store: Store, fields: Mapping[str, Iterable[str]], version: int) -> int:
    """Refuse this version from now on in these collections; return how many validators changed.

    fields: collection -> dotted paths of its sealed fields. A collection that is not there yet is made, because a
    writer could make it. Raises OpsError remove.validator_in_the_way, database.unauthorized (it needs dbAdmin).
    """
    changed = 0
    existing = set(store.collection_names())
    for collection, paths in fields.items():
        options = _options(store, collection) if collection in existing else {}
        foreign, versions = _parts(options.get("validator") or {})
        if foreign and (options.get("validationLevel", "strict"), options.get("validationAction", "error")) != (
            "strict",
            "error",
        ):
            raise OpsError(
                f"collection {collection} has a validator of its own that only warns or is moderate",
                code="remove.validator_in_the_way",
                hint="the removal would make it refuse writes; remove it, or set it to strict and error yourself",
            )
        if version in versions:
            continue
        validator = _validator(foreign, paths, sorted({*versions, version}))
        with driver_errors(store):
            if collection not in existing:
                store.create_collection(collection)
            store.command(
                {
                    "collMod": collection,
                    "validator": validator,
                    "validationLevel": "strict",
                    "validationAction": "error",
                }
            )
        changed += 1
    return changed


def holds(store: Store, fields: Mapping[str, Iterable[str]], version: int) -> bool:
    """True when every one of these collections refuses the version."""
    existing = set(store.collection_names())
    return all(
        collection in existing and version in _parts(_options(store, collection).get("validator") or {})[1]
        for collection in fields
    )


def without_fence(options: Document) -> Document:
    """Return a collection's options as they would be without our fence; a validator of one clause is that clause."""
    foreign, _versions = _parts(options.get("validator") or {})
    if not foreign:
        return {key: value for key, value in options.items() if not key.startswith("validat")}
    return {**options, "validator": _whole(foreign)}


def keep_beside(store: Store, collection: str, options: Document) -> bool:
    """Give a collection this validator, or {} for none, and leave our fence in it as it is.

    options: validator, validationLevel, validationAction. Return False, and change nothing, where the fence stands and
    a validator that only warns or is moderate would take it down.
    """
    held = _options(store, collection)
    how = {
        name: options.get(name, usual)
        for name, usual in (("validationLevel", "strict"), ("validationAction", "error"))
        if name in options or name in held
    }
    fence = [clause for clause in _clauses(held.get("validator") or {}) if _versions_refused(clause)]
    if fence and not set(how.values()) <= {"strict", "error"}:
        return False
    foreign, _none = _parts(options.get("validator") or {})
    with driver_errors(store):
        store.command({"collMod": collection, "validator": _whole([*foreign, *fence]), **how})
    return True


def _whole(clauses: Sequence[Document]) -> Document:
    return clauses[0] if len(clauses) == 1 else {"$and": list(clauses)} if clauses else {}


def _options(store: Store, collection: str) -> Document:
    with driver_errors(store):
        return dict(store.collection(collection).options())


def _validator(foreign: Sequence[Document], paths: Iterable[str], versions: Sequence[int]) -> Document:
    refused: list[Document] = [{OUR_TAG: {"$in": list(versions)}}]
    for path in paths:
        refused.append({f"{path.replace('.*', '')}.{OUR_TAG}": {"$in": list(versions)}})
    return {"$and": [*foreign, {"$nor": refused}]}


def _parts(validator: Document) -> tuple[list[Document], set[int]]:
    """Return (clauses that are not ours, versions that our clause refuses)."""
    foreign, versions = [], set[int]()
    for clause in _clauses(validator):
        refused = _versions_refused(clause)
        versions.update(refused)
        if not refused:
            foreign.append(clause)
    return foreign, versions


def _clauses(validator: Document) -> list[Document]:
    return list(validator["$and"]) if set(validator) == {"$and"} else [dict(validator)] if validator else []


def _versions_refused(clause: Document) -> list[int]:
    """Return the versions that a clause of ours refuses, [] for another's."""
    refused: list[Document] = (clause.get("$nor") or []) if set(clause) == {"$nor"} else []
    ours = bool(refused) and set(refused[0]) == {OUR_TAG}
    return [int(version) for version in refused[0][OUR_TAG]["$in"]] if ours else []
