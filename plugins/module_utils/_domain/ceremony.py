# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The record of a key that was made inside a device: what, in which device, by whom; and what is otherwise today. Pure.

Nothing in it is secret. As a file it is canonical, so that two people who sign it sign the same bytes.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass

from .values import JsonObject

# Of what a device tells about itself, what should stay as it was.
DEVICE = ("token_label", "token_serial", "token_model", "manufacturer", "firmware", "library", "module_path")
_NAMES = ("label", "id", "check_value")  # of the description: they have places of their own


@dataclass(frozen=True, slots=True)
class Made:
    """When (RFC 3339, the database server's clock), on which host, and by which user a key was made."""

    at: str
    host: str
    by: str


def record(
    version: int, *, described: Mapping[str, object], device: Mapping[str, object], made: Made, canary_tag: str | None
) -> JsonObject:
    """Return the record. described: as `KeyAdmin.describe_key` read it back. device: as `KeyAdmin.probe` found it."""
    return {
        "version": version,
        **{name: described.get(name) for name in _NAMES},
        "canary_tag": canary_tag,
        "attributes": {name: value for name, value in sorted(described.items()) if name not in _NAMES},
        "device": {name: device.get(name) for name in DEVICE},
        "made": {"at": made.at, "host": made.host, "by": made.by},
    }


def as_file(ceremony: Mapping[str, object]) -> bytes:
    """Return the record as JSON, sorted, one value a line."""
    return (json.dumps(ceremony, indent=2, sort_keys=True, ensure_ascii=True) + "\n").encode()


def drift(
    ceremony: Mapping[str, object], *, described: Mapping[str, object], device: Mapping[str, object]
) -> list[JsonObject]:
    """Return what is otherwise than the record says: {what, was, is} each, sorted.

    WHY only what the record knows: a value that the token did not tell then is no change now.
    """
    now = {name: described.get(name) for name in _NAMES}
    was = {name: ceremony.get(name) for name in _NAMES}
    for name, value in _mapping(ceremony.get("attributes")).items():
        was[f"attributes.{name}"], now[f"attributes.{name}"] = value, described.get(name)
    for name, value in _mapping(ceremony.get("device")).items():
        was[f"device.{name}"], now[f"device.{name}"] = value, device.get(name)
    return [
        {"what": name, "was": was[name], "is": now[name]}
        for name in sorted(was)
        if was[name] is not None and was[name] != now[name]
    ]


def _mapping(value: object) -> Mapping[str, object]:
    return value if isinstance(value, Mapping) else {}
