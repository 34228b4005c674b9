# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a rotation does with one document: which fields move, and the one guarded update that moves them. Pure.

Outer and inner versions, and all sealed fields of a document, change in one update whose filter repeats what was read:
a record that a writer touched meanwhile matches nothing and is read again.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from typing import NamedTuple, Union

from .catalogue import Found, Steps, dotted_path
from .envelope import Sealed
from .values import BsonValue, Document

Moved = tuple[Found, Sealed, Union[tuple[Sealed, Sealed], None]]  # noqa: UP007 - Ansible's pylint knows no `|` outside of annotations
"""(field, its new wrap in stored form, its new (nonce, ciphertext) where it was re-sealed, else None).

WHY a plain tuple: there is one for each envelope, and the walk over a batch unpacks it at once.
"""

GuardedUpdate = tuple[Document, Document]
"""(query for the record as it was read, values to set), as `records.compare_and_set` takes it."""


def selection(fields: Sequence[str], to_version: int) -> Document:
    """Return the query for documents that are not wholly at `to_version`, lying tags included.

    fields: dotted catalogue paths.
    """
    # WHY not `$nin: [to_version, None]`: a tag that is there as null must be found, an absent one not.
    clauses: list[Document] = [{"kek_version": {"$exists": True, "$ne": to_version}}]
    for path in fields:
        clauses += [_clause(path, tag, {"$exists": True, "$ne": to_version}) for tag in ("kek_version", "kv")]
    return {"$or": clauses}


def _clause(path: str, tag: str, condition: Document) -> Document:
    """Return the query for records with a tag at the path that meets the condition, in any element of its arrays.

    WHY $elemMatch: on an array `$ne` says that no element is equal, so one that has moved would hide one that has not.
    """
    head, star, rest = path.partition(".*")
    if not star:
        return {f"{path}.{tag}": condition}
    rest = rest.removeprefix(".")
    inner = _clause(rest, tag, condition) if rest else {tag: condition}
    return {head: {"$elemMatch": inner}}


class _Keys(NamedTuple):
    """The dotted keys of one envelope, as a query and an update name them."""

    wrapped_dek: str
    kek_version: str
    kv: str
    nonce: str
    ciphertext: str


def guarded_update(document: Mapping[str, BsonValue], moved: Iterable[Moved], to_version: int) -> GuardedUpdate:
    """Return the one update that moves these fields of a document.

    Its query repeats the id, each field's wrapped DEK and version, and the outer version where there is one, each in
    the type that it was read in. Payload and nonce stay byte for byte unless they were re-sealed.
    """
    expected: Document = {"_id": document["_id"]}
    assign: Document = {}
    if "kek_version" in document:
        expected["kek_version"] = document["kek_version"]
        assign["kek_version"] = to_version
    for found, stored_wrap, stored_payload in moved:
        wrapped_dek, kek_version, kv, nonce, ciphertext = _keys(found.steps)
        value = found.value
        expected[wrapped_dek] = value["wrapped_dek"]
        expected[kek_version] = value["kek_version"]
        assign[wrapped_dek] = stored_wrap
        assign[kek_version] = to_version
        if stored_payload is not None:
            assign[nonce], assign[ciphertext] = stored_payload
        if "kv" in value:
            assign[kv] = to_version
    return expected, assign


def wraps_kept(document: Mapping[str, BsonValue], assign: Mapping[str, BsonValue]) -> int:
    """Return how many of the wraps that an update set are in the document, which was read after it."""
    return sum(
        _at(document, key.split(".")) == value
        for key, value in assign.items()
        if key.rpartition(".")[2] == "wrapped_dek"
    )


def _at(document: BsonValue, steps: Sequence[str]) -> BsonValue:
    """Return what is at the steps of a dotted path, None where nothing is."""
    value = document
    for step in steps:
        try:
            value = value[int(step) if isinstance(value, list) else step]
        except (KeyError, IndexError, TypeError, ValueError):
            return None
    return value


# WHY remembered: a database has few fields and many records. Bounded, because an array's indexes are data.
@lru_cache(maxsize=1024)
def _keys(steps: Steps) -> _Keys:
    return _Keys(*(f"{dotted_path(steps)}.{key}" for key in _Keys._fields))
