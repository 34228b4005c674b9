# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The folder of a bundle at its source: what is in it already, and whose signature it has to have."""

from __future__ import annotations

from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path

from .._domain import manifest as manifests
from .._domain.errors import FileMissing
from .._domain.sender_signature import SIGNATURE_FILE, SigningKey
from .._store import private_files, record_index


@dataclass(frozen=True, slots=True)
class Place:
    """Where a bundle is, or will be. service_uid: whose files are believed there besides ours. key: that signs it."""

    dest: Path
    service_uid: int | None
    key: SigningKey | None

    def manifest(self) -> bytes:
        """Return the manifest file, b"" where there is none. Raises OpsError file.*."""
        try:
            return private_files.read_trusted(self.dest / manifests.MANIFEST_FILE, service_uid=self.service_uid)
        except FileMissing:
            return b""

    def has_records(self) -> bool:
        return (self.dest / manifests.RECORDS_FILE).exists()

    def records_sha256(self) -> str:
        return private_files.file_sha256(self.dest / manifests.RECORDS_FILE, service_uid=self.service_uid)

    def is_signed(self) -> bool:
        """Return whether the manifest has this sender's signature, or needs none."""
        if self.key is None:
            return True
        try:
            found = private_files.read_trusted(self.dest / SIGNATURE_FILE, service_uid=self.service_uid)
        except FileMissing:
            return False
        return found == self.key.sign(self.manifest())

    def index(self) -> AbstractContextManager[record_index.Index]:
        return record_index.opened(self.dest / record_index.SOURCE, service_uid=self.service_uid)


def place_of(dest: Path, signing_key_file: str | None, service_uid: int | None) -> Place:
    """Return the place of a bundle. Raises OpsError bundle.signing_key_invalid, file.*."""
    if not signing_key_file:
        return Place(dest, service_uid, None)
    path = Path(signing_key_file)
    pem = private_files.read_private(path, service_uid=service_uid)
    return Place(dest, service_uid, SigningKey(pem, origin=str(path)))
