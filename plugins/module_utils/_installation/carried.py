# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Variables of secrets.env that travel inside a bundle, and a digest that tells when one of them changed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from .._domain.aead import keyed_digest
from .._domain.settings import Settings


@dataclass(frozen=True, slots=True)
class Carried:
    """values: by name, that travel inside the encrypted part. digest: keyed, to tell when one changed (X7)."""

    values: dict[str, str] = field(repr=False)
    digest: str


def carried_from(settings: Settings, names: tuple[str, ...], warn: Callable[[str], None]) -> Carried:
    """Return the values of these names as far as the secrets file has them."""
    values = {name: settings.secrets[name].reveal() for name in names if name in settings.secrets}
    for name in names:
        if name not in values:
            warn(f"{name} is not in the secrets file and is not carried to the destination")
    # WHY a key of what does not travel: the digest is readable beside the bundle, and nobody must guess a value by it.
    others = [f"{name}={value.reveal()}" for name, value in sorted(settings.secrets.items()) if name not in values]
    key = keyed_digest(b"carried", *(other.encode() for other in others))
    pairs = [f"{name}={value}".encode() for name, value in sorted(values.items())]
    return Carried(values, keyed_digest(key, *pairs).hex())
