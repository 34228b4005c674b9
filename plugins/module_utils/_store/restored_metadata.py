# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Collections, indexes, validators and views of a dump: made on the server, and compared with what the server tells.

Collections come first, with what only a new one can be given; records next; what decides about records last, as in an
import (ADR-0029). What the server refuses, as another release may, is named and stops nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from .._domain.collection_metadata import same, same_index
from .._domain.dumped import COLLECTION, VIEW, Dumped
from .._domain.values import Document
from .connection import CollectionInfo, Store, refusal_of
from .restore_mark import COLLECTION as MARK

Refused = dict[str, str]
"""What could not be made -> why."""


def names_in(store: Store) -> list[str]:
    """Return everything that is in a database, views too, but the mark of a restore and the server's own."""
    return [one.name for one in store.collections() if one.name != MARK]


def create(store: Store, wanted: Sequence[Dumped], *, guard: Callable[[], None]) -> Refused:
    """Create the collections that are not there."""
    existing, refused = set(names_in(store)), Refused()
    for one in wanted:
        if one.kind == COLLECTION and one.name not in existing:
            guard()
            refused |= _run(store, f"{one.name}: options", {"create": one.name, **one.at_once()})
    return refused


def make(store: Store, wanted: Sequence[Dumped], *, guard: Callable[[], None]) -> Refused:
    """Make indexes, validators and views that are missing; return what is not as it is in the dump, and why."""
    refused, existing = Refused(), {one.name: one for one in store.collections()}
    for one in wanted:
        guard()
        if one.kind == VIEW:
            if one.name not in existing:
                refused |= _run(store, f"{one.name}: view", {"create": one.name, **one.at_once()})
            continue
        there = {index["name"] for index in store.indexes(one.name)}
        for index in one.indexes_to_make():
            if index["name"] not in there:
                guard()
                command = {"createIndexes": one.name, "indexes": [index]}
                refused |= _run(store, f"{one.name}: index {index['name']}", command)
        if one.at_last():
            guard()
            refused |= _run(store, f"{one.name}: {', '.join(one.at_last())}", {"collMod": one.name, **one.at_last()})
    return {**dict.fromkeys(differing(store, wanted), "the server tells it otherwise"), **refused}


def differing(store: Store, wanted: Sequence[Dumped]) -> list[str]:
    """Return what a database tells otherwise than a dump: "name: index x" and the like."""
    there, different = {one.name: one for one in store.collections()}, list[str]()
    for one in wanted:
        here = there.get(one.name)
        if here is None:
            different.append(f"{one.name}: {one.kind}")
            continue
        different += [f"{one.name}: {what}" for what in _options_differing(one, here)]
        if one.kind == COLLECTION:
            found = Dumped(one.name, COLLECTION, here.options, tuple(store.indexes(one.name)))
            indexes = {index["name"]: index for index in found.indexes_to_make()}
            for index in one.indexes_to_make():
                if index["name"] not in indexes or not same_index(index, indexes[index["name"]]):
                    different.append(f"{one.name}: index {index['name']}")
    return different


def _options_differing(one: Dumped, here: CollectionInfo) -> list[str]:
    found = Dumped(one.name, here.kind, here.options)
    wanted: Document = {**one.at_once(), **one.at_last()}
    told: Document = {**found.at_once(), **found.at_last()}
    return [f"option {key}" for key in wanted if not same(wanted[key], told.get(key))]


def _run(store: Store, what: str, command: Document) -> Refused:
    why = refusal_of(store, command)
    return {what: why} if why else {}
