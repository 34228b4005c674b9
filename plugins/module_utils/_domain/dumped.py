# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a dump tells of a collection or view; what of it is given to a new one at once and what last. Pure.

Names are MongoDB's. Source: MongoDB manual, commands create, collMod and createIndexes; mongo-tools, *.metadata.json.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from .collection_metadata import VALIDATOR
from .values import BsonValue, Document
from .what_travels import BOOKKEEPING, is_of_users

COLLECTION, VIEW, TIME_SERIES = "collection", "view", "timeseries"

LAST = (*VALIDATOR, "expireAfterSeconds")
"""Options that refuse or remove records; a collection is given them when its records are there and proven."""

_NEVER = frozenset({"create", "autoIndexId", "idIndex", "uuid", "temp", "flags", "recordIdsReplicated"})
_FORGOTTEN = frozenset({"v", "ns", "background", "dropDups"})  # of an index: how it was made, and nothing that it does


@dataclass(frozen=True, slots=True)
class Dumped:
    """options, indexes: as the server told them. kind: COLLECTION, VIEW or TIME_SERIES."""

    name: str
    kind: str = COLLECTION
    options: Document = field(default_factory=dict)
    indexes: tuple[Document, ...] = ()

    def at_once(self) -> Document:
        """Return the options that only a new collection can be given."""
        return {key: value for key, value in self.options.items() if key not in _NEVER and key not in LAST}

    def at_last(self) -> Document:
        return {key: value for key, value in self.options.items() if key in LAST}

    def indexes_to_make(self) -> tuple[Document, ...]:
        """Return the indexes that do not come with the collection."""
        return tuple(self._index(index) for index in self.indexes if not _comes_with_it(index))

    def _index(self, index: Document) -> Document:
        own = {key: value for key, value in index.items() if key not in _FORGOTTEN}
        # WHY said: an index without a collation has none, and in a collection with one it would get that.
        simple = {"collation": {"locale": "simple"}} if "collation" in self.options and "collation" not in own else {}
        return {**own, **simple}


def dumped_from(found: BsonValue, name: str) -> Dumped | None:
    """Return what the decoded metadata of a dump says, None where it says nothing that a server could.

    name: of the collection, where the metadata has none; so it is in files of mongodump before release 100.1.
    """
    if not isinstance(found, Mapping):
        return None
    named, options, indexes = found.get("collectionName", name), found.get("options") or {}, found.get("indexes") or []
    sound = isinstance(named, str) and isinstance(options, dict) and isinstance(indexes, list)
    if not sound or not all(_is_index(index) for index in indexes):
        return None
    # WHY also by option: old files do not tell the kind.
    kind = VIEW if "viewOn" in options else TIME_SERIES if "timeseries" in options else COLLECTION
    return Dumped(named, kind, options, tuple(indexes))


def why_left(name: str) -> str:
    """Return why a collection of a dump is not restored, "" where it is."""
    if name in BOOKKEEPING or is_of_users(name):
        return ""
    return "the server's own" if name.startswith(("system.", "$")) else "no name that a server takes"


def _comes_with_it(index: Document) -> bool:
    return list(index["key"].items()) == [("_id", 1)] or bool(index.get("clustered"))


def _is_index(found: BsonValue) -> bool:
    named = isinstance(found, dict) and isinstance(found.get("name"), str)
    return named and isinstance(found.get("key"), dict) and bool(found["key"])
