# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which form of a dump a path is: our backup, a folder of mongodump, or an archive of mongodump."""

from __future__ import annotations

from pathlib import Path

from .._domain.errors import OpsError
from .._domain.file_failures import failures_of
from .._store.age_keys import Identity
from .._store.opener import require_own_folder
from . import backup_manifest, dump_folder, mongo_archive
from .backup_manifest import BackupManifest
from .form import Form


def find(
    src: Path, *, identity: Identity | None, from_database: str | None, manifest_sha256: str | None,
    service_uid: int | None,
) -> tuple[Form, BackupManifest | None]:  # fmt: skip
    """Return the dump at a path, and its manifest where it is a backup of ours.

    Raises OpsError restore.missing, restore.unknown_form, restore.not_this_backup, backup.damaged, file.*, and what the
    forms raise.
    """
    if not src.exists() and not src.is_symlink():
        raise OpsError(f"there is no dump at {src}", code="restore.missing", hint="correct `src`")
    manifest = None
    if src.is_dir() and not src.is_symlink():
        require_own_folder(src, service_uid=service_uid)
        manifest = backup_manifest.read(src, service_uid=service_uid)
    require_this(src, manifest, manifest_sha256)
    with failures_of(src, writing=False):
        form = _form(src, manifest, identity, from_database, service_uid)
    if form is None:
        raise OpsError(
            f"{src} is neither a backup of db_backup, nor a folder or archive of mongodump",
            code="restore.unknown_form",
            hint="give the folder with backup.json, the folder that mongodump wrote, or its --archive file",
        )
    return form, manifest


def _form(
    src: Path, manifest: BackupManifest | None, identity: Identity | None, from_database: str | None, uid: int | None
) -> Form | None:
    if manifest is not None:
        backup_manifest.require_whole(src, manifest, service_uid=uid)
        return dump_folder.of_backup(src, manifest, identity=identity, service_uid=uid)
    if src.is_dir() and not src.is_symlink():
        return dump_folder.of_mongodump(src, from_database=from_database, service_uid=uid)
    if not mongo_archive.is_archive(src, service_uid=uid):
        return None
    return mongo_archive.open_archive(src, from_database=from_database, service_uid=uid)


def require_this(src: Path, manifest: BackupManifest | None, wanted: str | None) -> None:
    """Raises OpsError restore.not_this_backup. wanted: `manifest_sha256` of the backup that is meant, None for any."""
    if wanted is None:
        return
    found = None if manifest is None else backup_manifest.sha256(manifest)
    if found != wanted.lower():
        raise OpsError(
            f"{src} is not the backup whose `manifest_sha256` is {wanted}"
            + ("" if found is None else f": its backup.json has {found}"),
            code="restore.not_this_backup",
            hint="give the folder that db_backup returned it for; nothing was written",
        )
