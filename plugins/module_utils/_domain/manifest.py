# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The manifest of a bundle: what it holds, where it came from, and a keyed seal over both. Pure.

The manifest lies in clear beside the encrypted records so that an operator can read it; its seal is made with a key
that only travels inside the encrypted part, so altering it shows.
"""

from __future__ import annotations

import hmac
import json
import re
from collections.abc import Callable, Mapping
from typing import TypedDict, cast, get_origin, get_type_hints, is_typeddict

from .aead import keyed_digest
from .collection_metadata import Described
from .errors import OpsError
from .values import BsonValue, JsonObject

FORMAT = "certautopilot.ops/bundle/3"
RECORDS_FILE = "records.age"
MANIFEST_FILE = "manifest.json"


class Source(TypedDict):
    """The installation that a bundle came from."""

    install_id: str
    provider: str
    installed_at: str
    database: str


class Manifest(TypedDict):
    """base: "" for a bundle that holds everything, else id of the bundle on top of which it holds what changed since.
    found_by: how it was found out what to hold. removed: collection -> records that are gone since.

    catalogue: collection -> sealed fields. collections: -> records. sealed: "collection.field" -> envelopes.
    by_project: id of a project, "" for none -> records. expiring: see `_domain/expiring.py`.

    records_sha256: of the encrypted file. source_digest: of the source's records as they were read, "" where not all of
    them were. records_digest: the end of the keyed chain. metadata: collection -> what of its options and indexes is
    inside, and what stays behind; metadata_sha256: of what is inside. carried: names of secrets inside; carried_digest:
    keyed, of their values. seal: "" until `sealed_manifest` made it.
    """

    format: str
    bundle_id: str
    created_at: str
    base: str
    found_by: str
    source: Source
    layout: str
    catalogue: dict[str, list[str]]
    collections: dict[str, int]
    removed: dict[str, int]
    sealed: dict[str, int]
    by_project: dict[str, int]
    expiring: JsonObject
    projects: list[dict[str, str]]
    records: int
    records_sha256: str
    source_digest: str
    records_digest: str
    metadata: dict[str, Described]
    metadata_sha256: str
    recipients: list[str]
    carried: list[str]
    carried_digest: str
    seal: str


_TYPES: Mapping[str, type] = {
    name: dict if is_typeddict(kind) else get_origin(kind) or kind for name, kind in get_type_hints(Manifest).items()
}

_INSTANT = re.compile(r"\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}Z")


def _is_texts(value: object) -> bool:
    return isinstance(value, list) and all(isinstance(one, str) for one in value)


def _is_counts(value: object) -> bool:
    return isinstance(value, dict) and all(
        isinstance(one, int) and not isinstance(one, bool) and one >= 0 for one in value.values()
    )


# WHY so closely: a manifest that somebody else wrote must be refused by name, not fail where it is used (X20).
_INSIDE: Mapping[str, Callable[[BsonValue], bool]] = {
    "created_at": lambda value: bool(_INSTANT.fullmatch(value)),
    "source": lambda value: all(isinstance(value.get(name), str) for name in get_type_hints(Source)),
    "catalogue": lambda value: all(_is_texts(paths) for paths in value.values()),
    "collections": _is_counts,
    "removed": _is_counts,
    "sealed": _is_counts,
    "by_project": _is_counts,
    "expiring": lambda value: isinstance(value.get("count"), int) and isinstance(value.get("certificates"), list),
    "metadata": lambda value: all(isinstance(one, dict) for one in value.values()),
    "projects": lambda value: all(isinstance(one, dict) for one in value),
    "recipients": _is_texts,
    "carried": _is_texts,
}


class Chain:
    """A running keyed digest over records in order: one value that stands for all of them."""

    def __init__(self, key: bytes) -> None:
        self._key = key
        self._state = b"\0" * 32

    def add(self, record_digest: bytes) -> None:
        self._state = keyed_digest(self._key, b"chain", self._state, record_digest)

    def hex(self) -> str:
        """Return the state, 64 hex characters."""
        return self._state.hex()


def sealed_manifest(body: Manifest, digest_key: bytes) -> Manifest:
    """Return the manifest with its seal: HMAC-SHA-256 in hex over everything else in canonical JSON."""
    return {**body, "seal": _seal(body, digest_key)}


def parse(text: str, *, origin: str) -> Manifest:
    """Return the manifest in `text`, not yet trusted. Raises OpsError manifest.malformed, manifest.format."""
    try:
        found = json.loads(text)
    except ValueError as cause:
        raise _malformed(origin, "it is not JSON") from cause
    if not isinstance(found, dict):
        raise _malformed(origin, "it is not an object")
    # WHY the format first: another format has other fields.
    if isinstance(found.get("format"), str) and found["format"] != FORMAT:
        raise OpsError(
            f'{origin} has format "{found["format"]}", expected "{FORMAT}"',
            code="manifest.format",
            hint="import it with the release of the collection that wrote it",
        )
    for name, kind in _TYPES.items():
        if not isinstance(found.get(name), kind):
            raise _malformed(origin, f'"{name}" is missing or not a {kind.__name__}')
        if name in _INSIDE and not _INSIDE[name](found[name]):
            raise _malformed(origin, f'"{name}" holds what no export writes')
    return cast(Manifest, found)


def check_seal(manifest: Manifest, digest_key: bytes, *, origin: str) -> None:
    """Raises OpsError manifest.mismatch when the manifest is not the one that was written with these records."""
    if not hmac.compare_digest(_seal(manifest, digest_key), manifest["seal"]):
        raise mismatch(origin, "its seal does not match the encrypted records")


def mismatch(origin: str, found: str) -> OpsError:
    """Return the refusal for a manifest and records that do not belong together."""
    return OpsError(
        f"{origin} does not match its records: {found}",
        code="manifest.mismatch",
        hint="export again; nothing was written to the destination",
    )


def text(manifest: Manifest) -> str:
    """Return the manifest as it is written to disk."""
    return json.dumps(manifest, indent=2, sort_keys=True) + "\n"


def _seal(manifest: Manifest, digest_key: bytes) -> str:
    body = {name: value for name, value in manifest.items() if name != "seal"}
    canonical = json.dumps(body, sort_keys=True, separators=(",", ":")).encode()
    return keyed_digest(digest_key, b"manifest", canonical).hex()


def _malformed(origin: str, found: str) -> OpsError:
    return OpsError(
        f"{origin} is not a manifest: {found}", code="manifest.malformed", hint="export again, or copy the bundle again"
    )
