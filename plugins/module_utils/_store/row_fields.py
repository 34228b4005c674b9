# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Fields of keystore rows and of the install lock, read with their types: what a hand changed is named (X67)."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

from .._domain.errors import RowDamaged
from .._domain.values import BsonValue, Document

_HINT = "restore this value from a backup, or correct it by hand with the service stopped; kek_info lists all of them"


class Row:
    """One document, for messages: of which collection, and its _id."""

    def __init__(self, collection: str, document: Document) -> None:
        self._collection = collection
        self._document = document

    @property
    def place(self) -> str:
        return f"{self._collection} {self._document.get('_id')!r}"

    def number(self, name: str, default: int | None = None) -> int:
        """Return a whole number. default: where there is none; None: there must be one. Raises RowDamaged."""
        value = self._document.get(name, default)
        # WHY not bool, which is an int: `true` would be version 1.
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not float(value).is_integer() or value < 0:
            raise self._damaged(name, value, "a whole number")
        return int(value)

    def text(self, name: str, default: str | None = None) -> str | None:
        """Return a text, `default` where there is none. Raises RowDamaged."""
        value = self._document.get(name)
        if value is None:
            return default
        if not isinstance(value, str):
            raise self._damaged(name, value, "text")
        return value

    def hex(self, name: str) -> str | None:
        """Return a text of hexadecimal digits, None where there is none. Raises RowDamaged."""
        value = self.text(name)
        try:
            bytes.fromhex(value or "")
        except ValueError:
            raise self._damaged(name, value, "hexadecimal digits") from None
        return value

    def mapping(self, name: str) -> Mapping[str, BsonValue] | None:
        """Return a document, None where there is none. Raises RowDamaged."""
        value = self._document.get(name)
        if value is not None and not isinstance(value, Mapping):
            raise self._damaged(name, value, "a document")
        return value

    def instant(self, name: str) -> datetime | None:
        """Return a time, None where there is none. Raises RowDamaged."""
        value = self._document.get(name)
        if value is not None and not isinstance(value, datetime):
            raise self._damaged(name, value, "a time")
        return value

    def _damaged(self, name: str, value: BsonValue, expected: str) -> RowDamaged:
        found = "nothing" if value is None else f"a {type(value).__name__}"
        return RowDamaged(
            f"{self.place} has {found} as {name}, expected {expected}", hint=_HINT, place=self.place, field=name
        )
