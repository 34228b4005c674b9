# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Options and indexes of a collection: what of them moves to another installation, and what differs. Pure.

Names are MongoDB's. Source: MongoDB manual, commands create, collMod, createIndexes and listIndexes.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypedDict

from .values import BsonValue, Document
from .what_travels import is_of_users

AT_CREATION = ("collation", "clusteredIndex", "changeStreamPreAndPostImages")
"""Options that are carried, and that only a new collection can be given."""

VALIDATOR = ("validator", "validationLevel", "validationAction")
"""Options that are carried, and that a collection is given once its records are there."""

_OF_INDEXES = frozenset(
    {
        "name", "key", "unique", "sparse", "hidden", "partialFilterExpression", "expireAfterSeconds", "collation",
        "wildcardProjection", "weights", "default_language", "language_override", "textIndexVersion",
        "2dsphereIndexVersion", "bits", "min", "max",
    }
)  # fmt: skip
_TYPES: Mapping[str, type] = {
    **dict.fromkeys((*AT_CREATION, "validator"), dict),
    **dict.fromkeys(("validationLevel", "validationAction"), str),
}
_FORGOTTEN = frozenset({"v", "ns", "background", "dropDups"})  # of an index: how it was made, and nothing that it does


class Described(TypedDict):
    """What a manifest shows of a collection's metadata: names only."""

    options: list[str]
    indexes: list[str]
    left: list[str]


@dataclass(frozen=True, slots=True)
class CollectionMetadata:
    """options: of AT_CREATION and VALIDATOR. indexes: as listIndexes tells them, all but the one over `_id`.

    left: what the collection has and an export leaves behind, by name.
    """

    name: str
    options: Document = field(default_factory=dict)
    indexes: tuple[Document, ...] = ()
    left: tuple[str, ...] = ()

    @property
    def is_made_specially(self) -> bool:
        """Return whether the collection must be made before its first record makes it."""
        return any(name in self.options for name in AT_CREATION)

    def as_document(self) -> Document:
        return {
            "name": self.name, "options": self.options, "indexes": list(self.indexes), "left": list(self.left)
        }  # fmt: skip

    def described(self) -> Described:
        return {
            "options": sorted(self.options), "indexes": sorted(index["name"] for index in self.indexes),
            "left": list(self.left),
        }  # fmt: skip


def metadata_of(name: str, options: Document, indexes: Iterable[Document]) -> CollectionMetadata:
    """Return what of a collection's options and indexes is carried. options: without the fence of kek_remove."""
    carried = {key: options[key] for key in (*AT_CREATION, *VALIDATOR) if key in options}
    # WHY not carried: a capped collection keeps its records in the order in which they came, and drops the oldest.
    left = [f"option {key}" for key in sorted(options.keys() - carried.keys())]
    kept = []
    for index in indexes:
        if list(index["key"]) == ["_id"]:
            continue
        own = {key: value for key, value in index.items() if key not in _FORGOTTEN}
        unknown = sorted(own.keys() - _OF_INDEXES)
        if unknown:
            left.append(f"index {index['name']} (with {', '.join(unknown)})")
        else:
            # WHY said: an index without a collation has none, and in a collection with one it would get that.
            simple = {"collation": {"locale": "simple"}} if "collation" in options and "collation" not in own else {}
            kept.append({**own, **simple})
    return CollectionMetadata(name, carried, tuple(kept), tuple(left))


def from_documents(found: BsonValue) -> tuple[CollectionMetadata, ...] | None:
    """Return the metadata in a bundle's header, None where no export writes such."""
    if not isinstance(found, list):
        return None
    read = [_from_document(one) for one in found]
    names = [one.name for one in read if one is not None]
    return tuple(one for one in read if one is not None) if len(set(names)) == len(found) else None


def _from_document(found: BsonValue) -> CollectionMetadata | None:
    if not isinstance(found, Mapping) or set(found) != {"name", "options", "indexes", "left"}:
        return None
    name, options, indexes, left = (found[key] for key in ("name", "options", "indexes", "left"))
    sound = (
        isinstance(name, str)
        and is_of_users(name)
        and isinstance(options, dict)
        and all(isinstance(value, _TYPES.get(key, ())) for key, value in options.items())
        and isinstance(indexes, list)
        and all(_is_index(index) for index in indexes)
        and isinstance(left, list)
        and all(isinstance(one, str) for one in left)
    )
    return CollectionMetadata(name, options, tuple(indexes), tuple(left)) if sound else None


def _is_index(found: BsonValue) -> bool:
    return (
        isinstance(found, dict)
        and found.keys() <= _OF_INDEXES
        and isinstance(found.get("name"), str)
        and isinstance(found.get("key"), dict)
        and list(found["key"]) != ["_id"]
    )


def decides_about_records(index: Document) -> bool:
    """Return whether an index refuses records or removes them, so that it may stand in the way of an import."""
    return bool(index.get("unique")) or "expireAfterSeconds" in index


def differences(
    wanted: Sequence[CollectionMetadata], found: Sequence[CollectionMetadata]
) -> tuple[list[str], list[str]]:
    """Return (what is missing and can be made, what is there and differs), as "collection: index name" and the like.

    What a destination has besides is its own; it is told where it may refuse or remove the source's records.
    """
    there = {one.name: one for one in found}
    missing, different = list[str](), list[str]()
    for one in wanted:
        here = there.get(one.name)
        if here is None:
            missing.append(f"{one.name}: collection")
        else:
            different += [
                f"{one.name}: option {key}"
                for key in AT_CREATION
                if not same(one.options.get(key), here.options.get(key))
            ]
        has = here or CollectionMetadata(one.name)
        indexes = {index["name"]: index for index in has.indexes}
        for index in one.indexes:
            if index["name"] not in indexes:
                missing.append(f"{one.name}: index {index['name']}")
            elif not same_index(index, indexes[index["name"]]):
                different.append(f"{one.name}: index {index['name']}")
        named = {index["name"] for index in one.indexes}
        different += [
            f"{one.name}: index {name}"
            for name, index in indexes.items()
            if name not in named and decides_about_records(index)
        ]
        wants, holds = (_validator(which) for which in (one, has))
        if wants and not holds:
            missing.append(f"{one.name}: validator")
        elif not same(wants, holds):
            different.append(f"{one.name}: validator")
    return missing, different


def same_index(one: Document, other: Document) -> bool:
    """Return whether two indexes are alike. The order of the key counts, that of the rest does not."""
    return same(one, other) and list(one["key"]) == list(other["key"])


def same(one: BsonValue, other: BsonValue) -> bool:
    """Return whether two values of metadata say the same: servers tell 1 as an int32 and as a double."""
    return bool(one == other)


def _validator(metadata: CollectionMetadata) -> Document:
    if not metadata.options.get("validator"):
        return {}
    defaults = {"validationLevel": "strict", "validationAction": "error"}
    return {**defaults, **{key: metadata.options[key] for key in VALIDATOR if key in metadata.options}}
