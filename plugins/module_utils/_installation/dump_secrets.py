# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The KEKs of provider env that a backup of ours brings along, in the secrets file that is encrypted in it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from .._domain import env_keks
from .._domain.environment_file import grammar, parse_assignments
from .._domain.secret import Secret
from .._domain.settings import Settings
from .._dumps.backup_manifest import BackupManifest
from .._dumps.pieces import whole
from .._store.age_keys import Identity

_AT_MOST = 1024 * 1024  # bytes of a secrets file


def with_keks(
    settings: Settings, src: Path, manifest: BackupManifest | None, identity: Identity | None
) -> Settings:  # fmt: skip
    """Return settings with the KEKs of a backup, where they tell none and the backup and its identity do.

    Raises OpsError bundle.wrong_recipient, backup.damaged, env_kek.*, file.*.
    """
    kept = None if manifest is None else manifest.get("secrets")
    if settings.keks or settings.secrets_file is not None or kept is None or identity is None:
        return settings
    path = src / kept["file"]
    content = whole(path, at_most=_AT_MOST, identity=identity, service_uid=settings.service_uid)
    try:
        assigned = parse_assignments(content.decode(), origin=str(path))
    except UnicodeDecodeError:
        raise grammar(str(path), "it is not UTF-8") from None
    variables = {name: Secret(value) for name, value in assigned.items()}
    return replace(settings, keks=env_keks.parse(variables, origin=str(path)))
