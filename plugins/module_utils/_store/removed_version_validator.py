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
    clauses = list(validator["$and"]) if set(validator) == {"$and"} else [dict(validator)] if validator else []
    foreign, versions = [], set[int]()
    for clause in clauses:
        refused = clause.get("$nor") if set(clause) == {"$nor"} else None
        if refused and set(refused[0]) == {OUR_TAG}:
            versions.update(int(version) for version in refused[0][OUR_TAG]["$in"])
        else:
            foreign.append(clause)
    return foreign, versions
