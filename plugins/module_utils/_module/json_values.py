# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Values as JSON knows them: what a verb returns may hold driver types, and Ansible chokes on those."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

from .._domain.instants import rfc3339
from .._domain.values import JsonObject
from .._domain.visible import LAYOUT, visible


def plain_object(values: Mapping[str, object]) -> JsonObject:
    """Return the arguments of `exit_json` or `fail_json`, each made plain."""
    return {visible(name): plain(value) for name, value in values.items()}


def plain(value: object) -> object:
    """Return the value made of dict, list, str, int, float, bool and None only.

    Instants become RFC 3339, bytes hex, sets sorted lists, anything unknown (an ObjectId) its text. Of a text, what
    moves a terminal's cursor or turns letters round becomes a code, in names too (X28); lines stay lines.
    """
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, Mapping):
        return {visible(str(key)): plain(item) for key, item in value.items()}
    if isinstance(value, (set, frozenset)):
        return sorted((plain(item) for item in value), key=str)
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    if isinstance(value, datetime):
        return rfc3339(value)
    if isinstance(value, (bytes, bytearray, memoryview)):
        return bytes(value).hex()
    for known in (int, float):  # WHY the call: driver types such as Int64 are subclasses of these
        if isinstance(value, known):
            return known(value)
    return visible(str(value), keep=LAYOUT)
