# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Verb bundle_identity: the destination's age identity, made once, so that bundles can be encrypted to it.

The identity never leaves the host; only its public recipient is returned.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from .._domain.result import Result
from .._domain.settings import Settings
from .._store import age_keys, private_files


@dataclass(frozen=True, slots=True)
class Options:
    """path: where the identity file is or will be, mode 0600."""

    path: str


def run(settings: Settings, options: Options, *, check: bool, warn: Callable[[str], None]) -> Result:
    """Return the recipient, making the identity if there is none. Raises OpsError bundle.identity_invalid, file.*."""
    path = Path(options.path)
    if path.exists():
        recipient = str(age_keys.identity_from(path).to_public())
        return Result(changed=False, values={"recipient": recipient}, before={}, after={})
    if check:
        return Result(
            changed=True, values={"recipient": ""}, before={"identity": "absent"}, after={"identity": "present"}
        )
    text, recipient = age_keys.new_identity()
    private_files.write_private(path, text.encode("ascii"), replace=False)
    return Result(
        changed=True, values={"recipient": recipient}, before={"identity": "absent"}, after={"identity": "present"}
    )
