# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The key in a file that bundle_identity made, read by pyrage itself."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyrage


def key_of(identity_file: Path) -> Any:
    """Return the age identity in a file: it opens what is encrypted to it."""
    return pyrage.x25519.Identity.from_str(identity_file.read_text().splitlines()[1])


def public_of(identity_file: Path) -> str:
    """Return the public key, as `recipients` wants it."""
    return str(key_of(identity_file).to_public())
