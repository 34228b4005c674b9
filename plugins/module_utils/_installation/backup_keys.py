# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The keys of a backup: what it says of them itself, and in which places apart from the installation's own they are.

Lock and keystore are read from the dump, because the database may be gone. A key counts as being in a place when it
opens the canary of its version, or, where a foreign keystore has none, shows the check value of the key that does open
the backup.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from .._domain import env_keks
from .._domain.environment_file import parse_assignments
from .._domain.errors import OpsError
from .._domain.secret import Secret
from .._domain.settings import Settings
from .._domain.values import Document
from .._dumps.backup_manifest import BackupManifest, changed
from .._keys import registry
from .._keys.provider import Provider
from .._store import install_lock, keystore, private_files, sealed_file
from .._store.age_keys import Identity
from .._store.install_lock import InstallLock
from .._store.keystore import Keystore
from .._store.opener import open_trusted
from .._store.record_bytes import decode
from .canaries import opens_canary

IN_BACKUP, IN_ESCROW, IN_DEVICE = "backup", "escrow", "token"
_ORIGINS = {IN_BACKUP: "the backup's secrets file", IN_ESCROW: "the escrow file"}


@dataclass(slots=True)
class SavedKeys:
    """Takes lock and keystore out of a dump that passes."""

    _locks: list[Document] = field(default_factory=list)
    _rows: list[Document] = field(default_factory=list)

    def note(self, collection: str, raw: bytes) -> None:
        """Take one document of the dump."""
        if collection == install_lock.COLLECTION:
            self._locks.append(decode(raw))
        elif collection == keystore.COLLECTION:
            self._rows.append(decode(raw))

    def lock(self, src: str) -> InstallLock:
        """Return the install lock in the backup. Raises OpsError backup.no_lock."""
        for document in self._locks:
            if document["_id"] == install_lock.LOCK_ID:
                return install_lock.from_document(document)
        raise OpsError(
            f"the backup {src} holds no install lock, expected the one of its installation",
            code="backup.no_lock",
            hint="nobody can tell which provider's keys open it: take a backup of an installation that has been locked",
        )

    def keystore(self) -> Keystore:
        """Return the keystore in the backup. Raises OpsError keystore.damaged."""
        keys, damaged = keystore.from_documents(self._rows)
        if damaged:
            raise damaged[0]
        return keys


@dataclass(frozen=True, slots=True)
class Places:
    """Where keys are looked for. identity: opens what is encrypted. escrow_file: a copy of secrets.env, "" for none."""

    src: Path
    manifest: BackupManifest
    identity: Identity | None
    escrow_file: str = ""

    def holding(self, settings: Settings, provider: Provider, keys: Keystore) -> dict[int, list[str]]:
        """Return KEK version -> places apart from the installation's own files, for each version that the backup needs.

        provider: the one that opened the backup. Raises OpsError file.*, env_kek.*, backup.escrow_is_secrets_file.
        """
        needed = self.manifest["kek_versions"]
        if registry.configured(settings).DEVICE:
            return {version: [IN_DEVICE] for version in needed}
        found: dict[int, list[str]] = {version: [] for version in needed}
        for place, text in self._texts(settings).items():
            variables = {name: Secret(value) for name, value in parse_assignments(text, origin=_ORIGINS[place]).items()}
            for version in _usable(settings, provider, keys, variables, _ORIGINS[place]) & found.keys():
                found[version].append(place)
        return found

    def _texts(self, settings: Settings) -> dict[str, str]:
        """Return place -> what the secrets file there says."""
        texts, uid = {}, settings.service_uid
        sealed = self.manifest.get("secrets")
        if sealed is not None and self.identity is not None:
            texts[IN_BACKUP] = _unsealed(self.src / sealed["file"], self.identity, uid)
        if self.escrow_file:
            path = Path(self.escrow_file)
            _require_another(path, settings.secrets_file)
            if path.name.endswith(sealed_file.SUFFIX) and self.identity is not None:
                texts[IN_ESCROW] = _unsealed(path, self.identity, uid)
            else:
                texts[IN_ESCROW] = private_files.read_private_text(path, service_uid=uid)
        return texts


def _unsealed(path: Path, identity: Identity, service_uid: int | None) -> str:
    pieces: list[bytes] = []
    with open_trusted(path, private=False, service_uid=service_uid) as raw:
        sealed_file.read(path, raw, identity, pieces.append, damaged=lambda where, _why: changed(where))
    return b"".join(pieces).decode("utf-8", "surrogateescape")


def _usable(
    settings: Settings, provider: Provider, keys: Keystore, variables: Mapping[str, Secret[str]], origin: str
) -> set[int]:
    """Return the versions whose key is among these variables."""
    keks = env_keks.parse(variables, origin=origin)
    if not keks:
        return set()
    candidate = registry.configured(settings).from_settings(replace(settings, keks=keks))
    usable = set()
    for version in candidate.versions():
        row = keys.rows.get(version)
        if row is not None and row.canary is not None:
            is_it = opens_canary(candidate, row)
        else:
            is_it = version in provider.versions() and candidate.check_value(version) == provider.check_value(version)
        if is_it:
            usable.add(version)
    return usable


def _require_another(path: Path, secrets_file: str | None) -> None:
    if secrets_file is not None and path.exists() and path.samefile(secrets_file):
        raise OpsError(
            f"{path} is the installation's own secrets file, expected a copy that is kept elsewhere",
            code="backup.escrow_is_secrets_file",
            hint="give the copy that will still be there when the installation is gone",
        )
