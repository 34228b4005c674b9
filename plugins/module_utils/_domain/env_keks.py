# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""KEKs of the env provider, read strictly from variables. Pure.

Source: vendor's page on KEK providers (variable per version, 64 hex characters). What the vendor leaves open is refused
rather than guessed: a KEK that one host reads and another does not is lost data.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from itertools import combinations

from .errors import OpsError
from .secret import Secret

STEM = "CERTAUTOPILOT_ENCRYPTION_ENV_KEK"  # whatever begins so is meant as a KEK, well named or not
PREFIX = f"{STEM}_V"
HEX_LENGTH = 64  # characters: 32 bytes, AES-256


def parse(variables: Mapping[str, Secret[str]], *, origin: str) -> dict[int, Secret[bytes]]:
    """Return version -> 32 bytes for every KEK variable among `variables`; the others are passed over.

    origin: for messages, where the values came from. Raises OpsError env_kek.*; a value never enters a message.
    """
    keks: dict[int, Secret[bytes]] = {}
    for name in sorted(variables):
        if name.upper().startswith(STEM):
            keks[_version(name, origin)] = Secret(_key(name, variables[name].reveal(), origin))
    refuse_twins(keks, origin)
    return keks


def refuse_twins(keks: Mapping[int, Secret[bytes]], origin: str) -> None:
    """Raises OpsError env_kek.duplicate when two versions have the same bytes."""
    for first, second in combinations(sorted(keks), 2):
        if keks[first] == keks[second]:
            raise OpsError(
                f"KEK versions {first} and {second} have the same bytes (from {origin})",
                code="env_kek.duplicate",
                hint="every version needs a key of its own: openssl rand -hex 32",
            )


def _version(name: str, origin: str) -> int:
    matched = re.fullmatch(PREFIX + r"([1-9][0-9]{0,8})", name)
    if matched is None:
        expected = f"{PREFIX} and a whole number from 1, without leading zeros"
        raise _refused("version_name", name, origin, f"its name is not {expected}")
    return int(matched[1])


def _key(name: str, value: str, origin: str) -> bytes:
    if not value:
        raise _refused("empty", name, origin, f"it is empty, expected {HEX_LENGTH} hex characters")
    if any(letter.isspace() for letter in value):
        raise _refused("whitespace", name, origin, "it contains white space")
    if len(value) != HEX_LENGTH:
        raise _refused("length", name, origin, f"it has {len(value)} characters, expected {HEX_LENGTH} hex characters")
    if not re.fullmatch(r"[0-9A-Fa-f]+", value):
        raise _refused("not_hex", name, origin, "it holds characters that are not hex digits")
    key = bytes.fromhex(value)
    if not any(key):
        raise _refused("all_zero", name, origin, "all its bytes are zero")
    return key


def _refused(code: str, name: str, origin: str, found: str) -> OpsError:
    return OpsError(
        f"{name} is unusable: {found} (from {origin})",
        code=f"env_kek.{code}",
        hint="restore the value from the secrets backup; only a new version may be made by: openssl rand -hex 32",
    )
