# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Options and indexes of collections on the server: read, made, and taken out of the way of an import (X14).

WHY out of the way: a unique index refuses a record whose twin is removed only later, a TTL index removes what was just
written, a validator refuses what was stored before it came. So they are made when the records are there. ADR-0029.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence

from .._domain.collection_metadata import (
    AT_CREATION,
    VALIDATOR,
    CollectionMetadata,
    decides_about_records,
    metadata_of,
    same,
    same_index,
)
from .._domain.dumped import COLLECTION
from .._domain.values import Document
from .._domain.what_travels import is_of_users
from . import removed_version_validator
from .connection import Store, driver_errors, refusal_of
from .record_bytes import encode


def read_all(store: Store) -> tuple[CollectionMetadata, ...]:
    """Return the metadata of every collection of users' records, sorted by name."""
    found = []
    for one in store.collections():
        if one.kind == COLLECTION and is_of_users(one.name):
            options = removed_version_validator.without_fence(one.options)
            found.append(metadata_of(one.name, options, store.indexes(one.name)))
    return tuple(found)


def sha256(metadata: Sequence[CollectionMetadata]) -> str:
    """Return the SHA-256 of metadata in hex: whether an export of then is still one of now."""
    return hashlib.sha256(encode({"metadata": [one.as_document() for one in metadata]})).hexdigest()


def create_missing(
    store: Store, wanted: Sequence[CollectionMetadata], *, guard: Callable[[], object]
) -> dict[str, str]:
    """Create the collections that are not there, with what only a new one can be given; return what was refused.

    guard: asked before each of them; raises where we may not write.
    """
    existing, refused = {one.name for one in store.collections()}, dict[str, str]()
    for one in wanted:
        if one.name not in existing:
            options = {key: one.options[key] for key in AT_CREATION if key in one.options}
            guard()
            refused |= _refused(store, f"{one.name}: collection", {"create": one.name, **options})
    return refused


def lower(store: Store, wanted: Sequence[CollectionMetadata], *, guard: Callable[[], object]) -> None:
    """Take out of the way what `make` makes again: validators, and indexes that refuse or remove records.

    guard: asked before each of them; raises where we may not write.
    """
    found = {one.name: one for one in read_all(store)}
    for one in wanted:
        here = found.get(one.name)
        if here is None:
            continue
        there = {index["name"]: index for index in here.indexes}
        for index in one.indexes:
            held = there.get(index["name"])
            if held is not None and decides_about_records(index) and same_index(index, held):
                guard()
                with driver_errors(store):
                    store.command({"dropIndexes": one.name, "index": index["name"]})
        if one.options.get("validator") and same(one.options["validator"], here.options.get("validator")):
            guard()
            removed_version_validator.keep_beside(store, one.name, {})


def make(store: Store, wanted: Sequence[CollectionMetadata], *, guard: Callable[[], object]) -> dict[str, str]:
    """Make the indexes and validators that are missing; return what could not be made -> why.

    guard: asked before each of them, as an index over many records takes its time; raises where we may not write.
    """
    found = {one.name: one for one in read_all(store)}
    refused = dict[str, str]()
    for one in wanted:
        here = found.get(one.name, CollectionMetadata(one.name))
        there = {index["name"] for index in here.indexes}
        for index in one.indexes:
            if index["name"] not in there:
                guard()
                what, command = f"{one.name}: index {index['name']}", {"createIndexes": one.name, "indexes": [index]}
                refused |= _refused(store, what, command)
        if one.options.get("validator") and not here.options.get("validator"):
            guard()
            options = {key: one.options[key] for key in VALIDATOR if key in one.options}
            if not removed_version_validator.keep_beside(store, one.name, options):
                refused[f"{one.name}: validator"] = "it is weaker than the fence of a removed KEK version there"
    return refused


def _refused(store: Store, what: str, command: Document) -> dict[str, str]:
    """Run a command; return {what: why} where the server refuses it: another release may not know such an index."""
    why = refusal_of(store, command)
    return {what: why} if why else {}
