# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How a KEK version is named inside an HSM: a label for people, an id for us. Pure.

A label may be copied to another token or given twice; the id carries the installation, so two installations on one
token cannot mistake each other's keys.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

LABEL_PREFIX = "certautopilot-kek-v"


@dataclass(frozen=True, slots=True)
class KeyReference:
    """label: CKA_LABEL. key_id: CKA_ID, b"" for a key of another maker that is addressed by its label alone.

    check_value: 6 hex characters recorded when the key was made, None = not known. A key that shows another one is
    refused as the wrong key.
    """

    label: str
    key_id: bytes
    check_value: str | None = None


@dataclass(frozen=True, slots=True)
class KeyCount:
    """How many secret keys of the device carry the label, and how many the id: counted separately."""

    by_label: int
    by_id: int


def reference(install_id: str, version: int) -> KeyReference:
    """Return label and CKA_ID (16 bytes of install id + 4 bytes version, big endian) of a version's key.

    An install id that is not 32 hex characters (a foreign lock) is hashed to 16 bytes first.
    """
    try:
        installation = bytes.fromhex(install_id)
    except ValueError:
        installation = b""
    if len(installation) != 16:
        installation = hashlib.sha256(install_id.encode()).digest()[:16]
    return KeyReference(label=f"{LABEL_PREFIX}{version}", key_id=installation + version.to_bytes(4, "big"))
