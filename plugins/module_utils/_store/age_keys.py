# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""age keys: recipients, to whom is encrypted, and identities, which open it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol, TypeAlias

from .._domain.errors import FileMissing, OpsError
from . import private_files

try:
    import pyrage
except ImportError:  # reported by name in _module/dependencies.py
    pyrage = None

Recipient: TypeAlias = object
"""An age public key, as the binding holds it."""


class Identity(Protocol):
    """An age identity, as the binding holds it."""

    def to_public(self) -> Recipient: ...


def recipients_from(texts: Sequence[str]) -> list[Recipient]:
    """Return age recipients. Raises OpsError bundle.recipient_invalid."""
    try:
        return [pyrage.x25519.Recipient.from_str(text) for text in texts]
    except pyrage.RecipientError:
        raise OpsError(
            f"one of {len(texts)} recipients is not an age public key (age1 and 58 characters)",
            code="bundle.recipient_invalid",
            hint="use what bundle_identity returns on the destination",
        ) from None


def identity_from(path: Path, *, service_uid: int | None = None) -> Identity:
    """Return the age identity in a 0600 file.

    Raises OpsError bundle.identity_missing, bundle.identity_invalid, file.*.
    """
    try:
        lines = private_files.read_private(path, service_uid=service_uid).decode("ascii").splitlines()
        keys = [line.strip() for line in lines if line.strip() and not line.startswith("#")]
        if len(keys) != 1:
            raise ValueError
        identity: Identity = pyrage.x25519.Identity.from_str(keys[0])
        return identity
    except FileMissing:
        raise OpsError(
            f"no identity file {path}", code="bundle.identity_missing", hint="make it with bundle_identity"
        ) from None
    except (ValueError, pyrage.IdentityError):
        raise OpsError(
            f"{path} does not hold exactly one age identity",
            code="bundle.identity_invalid",
            hint="make it with bundle_identity or age-keygen; plugin and passphrase identities are not read",
        ) from None


def new_identity() -> tuple[str, str]:
    """Return (text of a new identity file, its public recipient)."""
    identity = pyrage.x25519.Identity.generate()
    public = str(identity.to_public())
    return f"# public key: {public}\n{identity}\n", public
