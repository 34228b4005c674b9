# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Where the HSM is and which keys in it are meant: settings without any I/O.

Built by `_module` from config.yaml, secrets.env and options; used by `_keys/pkcs11`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Pkcs11Settings:
    """module_path: absolute path of the vendor's library. token_serial: text as the token shows it, "" = label alone.

    pin: user PIN, None when no source gave one (opening then refuses). environment: variables the vendor's library
    reads (SOFTHSM2_CONF and the like), laid over the process environment of the workers; never a secret.
    """

    module_path: str
    token_label: str
    token_serial: str = ""
    pin: str | None = field(default=None, repr=False)
    environment: Mapping[str, str] = field(default_factory=dict)


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
    """How many secret keys of the token carry the label, and how many the id: counted separately."""

    by_label: int
    by_id: int
