# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which fields of which collections are sealed, and how a document is walked to find every envelope in it.

PRIVATE to the collection. The catalogue says what must be there; discovery (the same walk over every collection)
says what is there. Coverage is found, not believed. A path is dotted; an element of an array is `*` in the catalogue.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from .envelope import looks_like_envelope
from .errors import OpsError

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

# State of one installation's keys and processes: it must not travel to another one, and it is no user's record.
BOOKKEEPING = frozenset(
    {
        "kek_install",
        "kek_versions",
        "kek_rotations",
        "kek_ranges",
        "kek_journal",
        "kek_imports",
        "locks",
        "process_heartbeats",
    }
)


@dataclass(frozen=True, slots=True)
class Found:
    """Something shaped like an envelope. steps: concrete keys to it (array indexes as numbers)."""

    collection: str
    record_id: Any
    steps: tuple[str | int, ...]
    value: Any

    @property
    def path(self) -> str:
        """The path as MongoDB's update operators want it, array indexes included."""
        return ".".join(str(step) for step in self.steps)

    @property
    def field(self) -> str:
        """The path as the catalogue writes it, array indexes as `*`."""
        return ".".join("*" if isinstance(step, int) else step for step in self.steps)

    @property
    def place(self) -> str:
        """For messages: collection, record id and path."""
        return f"{self.collection}/{record_id_text(self.record_id)}.{self.path}"


class Catalogue:
    """The sealed fields: the built-in ones and those an operator added. Immutable."""

    def __init__(self, extra: Mapping[str, tuple[str, ...]] | None = None) -> None:
        merged = {name: set(paths) for name, paths in BUILT_IN.items()}
        for name, paths in (extra or {}).items():
            merged.setdefault(name, set()).update(paths)
        self._fields = {name: frozenset(paths) for name, paths in sorted(merged.items())}

    def collections(self) -> tuple[str, ...]:
        """Return the collections that may carry envelopes, sorted."""
        return tuple(self._fields)

    def fields(self, collection: str) -> tuple[str, ...]:
        """Return the dotted paths of a collection's sealed fields, sorted."""
        return tuple(sorted(self._fields.get(collection, ())))

    def knows(self, found: Found) -> bool:
        return found.field in self._fields.get(found.collection, ())

    def envelopes(self, collection: str, document: Mapping[str, Any]) -> Iterator[Found]:
        """Yield what is shaped like an envelope anywhere, and whatever else stands at a catalogued path.

        A catalogued path that holds something else than null is yielded whatever its shape, so that parsing names it.
        """
        seen = set()
        for steps, value in _walk(document, ()):
            found = Found(collection, document.get("_id"), steps, value)
            seen.add(found.field)
            yield found
        for path in self.fields(collection):
            if path not in seen and "*" not in path:
                value = _at(document, path)
                if value is not None:
                    yield Found(collection, document.get("_id"), tuple(path.split(".")), value)


def record_id_text(record_id: Any) -> str:
    """Return the canonical text of an `_id`: 24 hex characters, the text itself, or the decimal number."""
    if isinstance(record_id, (bytes, bytearray)):
        return bytes(record_id).hex()
    return str(record_id)


def outside_catalogue(places: list[str]) -> OpsError:
    """Return the refusal for envelopes that nobody has listed."""
    shown = ", ".join(places[:10]) + (f" and {len(places) - 10} more" if len(places) > 10 else "")
    return OpsError(
        f"found {len(places)} envelope(s) outside the catalogue: {shown}",
        code="catalogue.outside",
        hint="add each as `catalogue: {collection: [field.path]}` so that it is re-wrapped and exported too",
        outside_catalogue=places[:1000],
    )


def _walk(value: Any, steps: tuple[str | int, ...]) -> Iterator[tuple[tuple[str | int, ...], Any]]:
    items: Any = value.items() if isinstance(value, Mapping) else enumerate(value)
    for key, child in items:
        if looks_like_envelope(child):
            yield (*steps, key), child
        elif isinstance(child, (Mapping, list)):
            yield from _walk(child, (*steps, key))


def _at(document: Mapping[str, Any], path: str) -> Any:
    value: Any = document
    for key in path.split("."):
        if not isinstance(value, Mapping) or key not in value:
            return None
        value = value[key]
    return value
