# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the worker uses of python-pkcs11, which ships no types: its library, slots, tokens, sessions and keys.

Only for the type checker and the reader. An attribute or a mechanism is one of the binding's own values, and the answer
of a token may be of any type, so both are `object` here and looked at where they are used.
"""

from __future__ import annotations

from collections.abc import Container, Iterable, Mapping
from typing import Protocol


class Key(Protocol):
    """A secret key of a session. handle: dies with the session that the key was found in."""

    @property
    def handle(self) -> int: ...

    def __getitem__(self, attribute: object) -> object: ...

    def encrypt(self, data: bytes, *, mechanism: object, mechanism_param: object, buffer_size: int) -> bytes: ...

    def decrypt(self, data: bytes, *, mechanism: object, mechanism_param: object, buffer_size: int) -> bytes: ...

    def destroy(self) -> None: ...


class Session(Protocol):
    """A session; the first one of a process is logged in, and so are all others then."""

    @property
    def handle(self) -> int: ...

    def generate_key(
        self, key_type: object, key_length: int, *, label: str, store: bool, capabilities: object,
        mechanism: object, template: Mapping[object, object], **names: bytes | None,
    ) -> Key: ...  # fmt: skip

    def get_objects(self, template: Mapping[object, object]) -> Iterable[Key]: ...

    def close(self) -> None: ...


class Token(Protocol):
    """A token in a slot. serial: 16 bytes, padded."""

    label: str
    serial: bytes
    model: str
    manufacturer_id: str
    firmware_version: tuple[int, int]
    flags: Container[object]
    slot: Slot

    def open(self, *, rw: bool, user_pin: str | None = None) -> Session: ...


class Slot(Protocol):
    slot_id: int

    def get_mechanisms(self) -> Iterable[object]: ...

    def get_token(self) -> Token: ...


class Library(Protocol):
    """A module that was loaded and initialised."""

    library_description: str
    library_version: tuple[int, int]
    manufacturer_id: str
    cryptoki_version: tuple[int, int]

    def get_slots(self, token_present: bool = False) -> Iterable[Slot]: ...

    def initialize(self) -> None: ...

    def finalize(self) -> None: ...
