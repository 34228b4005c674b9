# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a rotation does with one document: which fields move, and the one guarded update that moves them. Pure.

Outer and inner versions, and all sealed fields of a document, change in one update whose filter repeats what was read:
a record that a writer touched meanwhile matches nothing and is read again.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, NamedTuple

from .catalogue import Found, dotted_path


@dataclass(slots=True)  # not frozen for the reason of `Found`
class Moved:
    """One field with its new wrap in stored form, and with new nonce and ciphertext where it was re-sealed."""

    found: Found
    stored_wrap: bytes | str = field(repr=False)
    stored_payload: tuple[bytes | str, bytes | str] | None = field(default=None, repr=False)


def selection(fields: Sequence[str], to_version: int) -> dict[str, Any]:
    """Return the query for documents that are not wholly at `to_version`, lying tags included.

    fields: dotted catalogue paths; one with an array in it cannot be asked for exactly and selects by the outer tag.
    """
    # WHY not `$nin: [to_version, None]`: a tag that stands there as null must be found, an absent one not.
    clauses: list[dict[str, Any]] = [{"kek_version": {"$exists": True, "$ne": to_version}}]
    for path in fields:
        plain = path.replace(".*", "")
        for tag in ("kek_version", "kv"):
            clauses.append({f"{plain}.{tag}": {"$exists": True, "$ne": to_version}})
    return {"$or": clauses}


class _Keys(NamedTuple):
    """The dotted keys of one envelope, as a query and an update name them."""

    wrapped_dek: str
    kek_version: str
    kv: str
    nonce: str
    ciphertext: str


def expectation(document: Mapping[str, Any], moved: Iterable[Moved]) -> dict[str, Any]:
    """Return what must still stand: each field's wrapped DEK and version, and the outer version where there is one."""
    expected: dict[str, Any] = {}
    if "kek_version" in document:
        expected["kek_version"] = document["kek_version"]
    for move in moved:
        keys, value = _keys(move.found.steps), move.found.value
        expected[keys.wrapped_dek] = value["wrapped_dek"]
        expected[keys.kek_version] = value["kek_version"]
    return expected


def assignment(document: Mapping[str, Any], moved: Iterable[Moved], to_version: int) -> dict[str, Any]:
    """Return the new values: wraps and versions; payload and nonce stay byte for byte unless they were re-sealed."""
    assign: dict[str, Any] = {}
    if "kek_version" in document:
        assign["kek_version"] = to_version
    for move in moved:
        keys = _keys(move.found.steps)
        assign[keys.wrapped_dek] = move.stored_wrap
        assign[keys.kek_version] = to_version
        if move.stored_payload is not None:
            assign[keys.nonce], assign[keys.ciphertext] = move.stored_payload
        if "kv" in move.found.value:
            assign[keys.kv] = to_version
    return assign


# WHY remembered: a database has few fields and many records. Bounded, for an array's indexes are data.
@lru_cache(maxsize=1024)
def _keys(steps: tuple[str | int, ...]) -> _Keys:
    return _Keys(*(f"{dotted_path(steps)}.{key}" for key in _Keys._fields))
