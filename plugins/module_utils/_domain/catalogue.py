# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which fields of which collections are sealed, and how a document is walked to find every envelope in it.

The catalogue says what must be there; discovery (the same walk over every collection) says what is there. Coverage is
found, not believed. A path is dotted; an element of an array is `*` in the catalogue.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Union

from .envelope import REQUIRED, SEALED, has_envelope_keys, parse
from .errors import OpsError
from .listing import LISTED_AT_MOST, listed
from .values import BsonValue

Steps = tuple[Union[str, int], ...]  # noqa: UP007 - Ansible's pylint knows no `|` outside of annotations
"""Concrete keys to a value inside a document, array indexes as numbers."""

NO_ENVELOPE = "!"
"""Begins a path of which an operator says that what is there is no envelope."""

BUILT_IN: Mapping[str, tuple[str, ...]] = {
    "certificate_private_keys": ("encrypted_key",),
    "acme_accounts": ("encrypted_private_key",),
    "msca_connections": ("encrypted_credentials",),
    "dns_credentials": ("encrypted_api_key",),
    "module_credentials": ("encrypted_value",),
    "notification_channels": ("encrypted_config",),
    "users": ("totp.encrypted_seed",),
    "settings": ("encrypted_licence",),
}


# WHY not frozen: there is one for each envelope read, and freezing takes a quarter of the walk. Nobody assigns to it.
@dataclass(slots=True)
class Found:
    """Something shaped like an envelope."""

    collection: str
    record_id: BsonValue
    steps: Steps
    value: BsonValue

    @property
    def path(self) -> str:
        """The path as MongoDB's update operators want it, array indexes included."""
        return dotted_path(self.steps)

    @property
    def field(self) -> str:
        """The path as the catalogue writes it, array indexes as `*`."""
        return field_path(self.steps)

    @property
    def place(self) -> str:
        """For messages: collection, record id and path."""
        return f"{self.collection}/{record_id_text(self.record_id)}.{self.path}"


class Catalogue:
    """The sealed fields: the built-in ones and those an operator added. Immutable.

    extra: collection -> dotted paths. One that begins with NO_ENVELOPE says that what is there is none, whatever it
    looks like, unless it is a whole one or the field is a sealed one (X18).
    """

    def __init__(self, extra: Mapping[str, tuple[str, ...]] | None = None) -> None:
        merged = {name: set(paths) for name, paths in BUILT_IN.items()}
        declared = set[tuple[str, str]]()
        for name, paths in (extra or {}).items():
            declared.update((name, path.removeprefix(NO_ENVELOPE)) for path in paths if path.startswith(NO_ENVELOPE))
            if sealed := {path for path in paths if not path.startswith(NO_ENVELOPE)}:
                merged.setdefault(name, set()).update(sealed)
        self._no_envelopes = {(name, path) for name, path in declared if path not in merged.get(name, ())}
        self._fields = {name: tuple(sorted(paths)) for name, paths in sorted(merged.items())}
        self._certain: Mapping[str, tuple[tuple[str, ...], ...]] = {
            name: tuple(tuple(path.split(".")) for path in paths if "*" not in path)
            for name, paths in self._fields.items()
        }

    def collections(self) -> tuple[str, ...]:
        """Return the collections that may carry envelopes, sorted."""
        return tuple(self._fields)

    def fields(self, collection: str) -> tuple[str, ...]:
        """Return the dotted paths of a collection's sealed fields, sorted."""
        return self._fields.get(collection, ())

    @property
    def no_envelopes(self) -> list[str]:
        """Return the places that an operator declared to hold no envelope, as "collection.field", sorted."""
        return sorted(f"{name}.{path}" for name, path in self._no_envelopes)

    def as_listed(self) -> dict[str, list[str]]:
        """Return collection -> paths, from which the same catalogue can be made again."""
        listed_paths = {name: list(paths) for name, paths in self._fields.items()}
        for name, path in sorted(self._no_envelopes):
            listed_paths.setdefault(name, []).append(NO_ENVELOPE + path)
        return listed_paths

    def sole_field(self, collection: str) -> str | None:
        """Return the sealed field of a collection that has one, on the first level; None for any other."""
        fields = self._fields.get(collection, ())
        return fields[0] if len(fields) == 1 and not {".", "*"} & set(fields[0]) else None

    def telling_names(self, collection: str) -> frozenset[str]:
        """Return field names of which a document has one at least, on whatever level, if `envelopes` finds anything in
        it: a document with none of them need not be decoded to know that it holds nothing.
        """
        return frozenset(SEALED).union(path[-1] for path in self._certain.get(collection, ()))

    def knows(self, found: Found) -> bool:
        """Return whether somebody listed the place, and it can be written to.

        WHY not with a dot in a key: MongoDB's operators, and ours, take the dot for a step, so that an update would
        match nothing, and two places would have one name (X17).
        """
        if any(isinstance(step, str) and "." in step for step in found.steps):
            return False
        return found.field in self._fields.get(found.collection, ())

    def envelopes(self, collection: str, document: Mapping[str, BsonValue]) -> list[Found]:
        """Return what is shaped like an envelope anywhere, and whatever else is at a catalogued path.

        A catalogued path that holds something else than null is returned whatever its shape, so that parsing names it.
        """
        record_id = document.get("_id")
        founds: list[Found] = []
        seen: list[Steps] = []
        # WHY the first level here and not in `_walk`: most envelopes are on it, and a generator for each document
        # takes as long as the whole look at a small one.
        for key, child in document.items():
            nesting = _NESTING[child.__class__]
            if nesting == "keys" and has_envelope_keys(child):
                seen.append((key,))
                founds.append(Found(collection, record_id, (key,), child))
            if nesting:
                for steps, value in _walk(child, (key,)):
                    seen.append(steps)
                    founds.append(Found(collection, record_id, steps, value))
        for path in self._certain.get(collection, ()):
            if path not in seen:
                value = _at(document, path)
                if value is not None:
                    founds.append(Found(collection, record_id, path, value))
        return [found for found in founds if not self._is_none(found)] if self._no_envelopes else founds

    def _is_none(self, found: Found) -> bool:
        """Return whether an operator says that this is no envelope. A whole one is one, whoever says so."""
        if (found.collection, found.field) not in self._no_envelopes:
            return False
        try:
            parse(found.value)
        except OpsError:
            return True
        return False


def is_alone(field: str, document: Mapping[str, BsonValue]) -> bool:
    """Return whether nothing but this field, a sound envelope on the first level, is or holds something like one."""
    for key, child in document.items():
        nesting = _NESTING[child.__class__]
        if not nesting or (key == field and len(child) - ("kv" in child) == len(REQUIRED)):
            continue  # SAFE BECAUSE the field is a sound envelope: without another key there is no room for one inside
        if key != field and nesting == "keys" and has_envelope_keys(child):
            return False
        if any(True for _found in _walk(child, ())):
            return False
    return True


def record_id_text(record_id: BsonValue) -> str:
    """Return the canonical text of an `_id`: 24 hex characters, the text itself, or the decimal number."""
    if isinstance(record_id, (bytes, bytearray)):
        return bytes(record_id).hex()
    return str(record_id)


def outside_catalogue(places: list[str]) -> OpsError:
    """Return the refusal for envelopes that nobody has listed."""
    return OpsError(
        f"found {len(places)} envelope(s) outside the catalogue: {listed(places)}",
        code="catalogue.outside",
        hint="add each as `catalogue: {collection: [field.path]}` so that it is re-wrapped and exported too; what only "
        "looks like one, as `['!field.path']`; one below a key with a dot in its name cannot be listed: give the key "
        "another name",
        outside_catalogue=places[:LISTED_AT_MOST],
    )


# WHY remembered: a database has few fields and many records. Bounded, because an array's indexes are data.
@lru_cache(maxsize=1024)
def dotted_path(steps: Steps) -> str:
    """Return steps as MongoDB's update operators want them, array indexes included."""
    return ".".join(str(step) for step in steps)


@lru_cache(maxsize=1024)
def field_path(steps: Steps) -> str:
    """Return steps as the catalogue writes them, array indexes as `*`."""
    return ".".join("*" if isinstance(step, int) else step for step in steps)


class _Nesting(dict[type, str]):
    """A type -> what is inside its values: "keys", "elements" or "" for nothing.

    WHY remembered: every value of every document is asked, and asking an abstract class costs more than all the rest.
    """

    def __missing__(self, kind: type) -> str:
        nesting = "keys" if issubclass(kind, Mapping) else "elements" if issubclass(kind, list) else ""
        self[kind] = nesting
        return nesting


_NESTING = _Nesting()


def _walk(value: BsonValue, steps: Steps) -> Iterator[tuple[Steps, BsonValue]]:
    items = value.items() if _NESTING[type(value)] == "keys" else enumerate(value)
    for key, child in items:
        nesting = _NESTING[type(child)]
        if not nesting:
            continue
        if nesting == "keys" and has_envelope_keys(child):
            yield (*steps, key), child
        # WHY also below an envelope: one may be kept in a foreign key of another (X16).
        yield from _walk(child, (*steps, key))


def _at(document: Mapping[str, BsonValue], steps: tuple[str, ...]) -> BsonValue:
    value: BsonValue = document
    for key in steps:
        if _NESTING[type(value)] != "keys" or key not in value:
            return None
        value = value[key]
    return value
