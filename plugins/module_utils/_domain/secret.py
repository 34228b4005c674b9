# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A value that nothing shows by accident: a PIN, a URI with a password, the bytes of a KEK, a passphrase.

Who can see the PIN? `grep -r "reveal()" plugins`: there is no other way to the value, and a unit test lists the places.
Not hidden from a debugger, nor from whoever reads this process's memory: this is a guard against slips, not attackers.
"""

from __future__ import annotations

import hmac
from typing import AnyStr, Generic, NoReturn

SHOWN = "(hidden)"
MASK = "********"


class Secret(Generic[AnyStr]):
    """Text or bytes whose text form, comparison, copy and pickle tell nothing about it."""

    __slots__ = ("__value",)
    __hash__ = None  # type: ignore[assignment]  # the hash of a short PIN would tell it

    def __init__(self, value: AnyStr) -> None:
        self.__value: AnyStr = value

    def reveal(self) -> AnyStr:
        """Return the value. Call it where the value is used, and keep no name for what it returns."""
        return self.__value

    def is_blank(self) -> bool:
        """Return whether there is nothing in it but white space."""
        return not self.__value.strip()

    def has_blank_ends(self) -> bool:
        """Return whether it begins or ends with white space."""
        return self.__value != self.__value.strip()

    def has_controls(self) -> bool:
        """Return whether it has a control character in it, or a byte order mark."""
        text = self.__value if isinstance(self.__value, str) else self.__value.decode("latin-1")
        return any(not character.isprintable() and not character.isspace() for character in text) or any(
            character in text for character in "\r\n\t\v\f\ufeff"
        )

    def masked_in(self, text: str) -> str:
        """Return the text with every occurrence of this secret replaced, for text that others wrote."""
        value = self.__value if isinstance(self.__value, str) else self.__value.hex()
        return text.replace(value, MASK) if value else text

    def __repr__(self) -> str:
        return SHOWN

    def __format__(self, _specification: str) -> str:
        return SHOWN

    def __eq__(self, other: object) -> bool:
        """Compare with another secret in constant time; with anything else it is never equal."""
        if not isinstance(other, Secret):
            return NotImplemented
        return hmac.compare_digest(_octets(self.__value), _octets(other.__value))

    def __bool__(self) -> bool:
        return bool(self.__value)

    def __copy__(self) -> Secret[AnyStr]:
        return self

    def __deepcopy__(self, _memo: object) -> Secret[AnyStr]:
        return self

    def __reduce__(self) -> NoReturn:
        raise TypeError("a secret is not pickled")


def _octets(value: str | bytes) -> bytes:
    return value.encode("utf-8", "surrogatepass") if isinstance(value, str) else value
