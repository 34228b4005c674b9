# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The record of a key's making: drawn up from what the token tells right after it, and written to a file on request."""

from __future__ import annotations

import getpass
import os
import socket
from pathlib import Path

from .._domain import ceremony
from .._domain.ceremony import Made
from .._domain.errors import FileMissing, OpsError
from .._domain.instants import rfc3339
from .._domain.values import JsonObject
from .._keys.provider import KeyAdmin
from .._store.connection import Store
from .._store.keystore import KeyRow
from .._store.private_files import read_trusted, write_private


def record(store: Store, admin: KeyAdmin, row: KeyRow, probe: JsonObject) -> JsonObject:
    """Return the record. row: of the new key, not inserted yet. Raises OpsError pkcs11.*."""
    described = admin.describe_key(str(row.key["label"]), bytes.fromhex(str(row.key["id"])))
    made = Made(rfc3339(store.server_time()), socket.gethostname(), _user())
    tag = row.key.get("canary_tag")
    return ceremony.record(
        row.version, described=described, device=probe, made=made, canary_tag=str(tag) if tag else None
    )


def write(path: Path, known: JsonObject | None, *, check: bool, service_uid: int | None) -> bool:
    """Write the record where it is not there yet; return whether it was not.

    known: None where there is no record, in check mode or of an older release. Raises OpsError file.*, init.record.
    """
    try:
        there: bytes | None = read_trusted(path, service_uid=service_uid)
    except FileMissing:
        there = None
    if known is None:
        return check and there is None
    content = ceremony.as_file(known)
    if there not in (None, content):
        raise OpsError(
            f"{path} exists and is not the record of KEK version {known['version']} in this database",
            code="init.record",
            hint="name another file, or move this one away; it may be the record of another key, or signed",
        )
    if there is None and not check:
        write_private(path, content, replace=False, mode=0o644, service_uid=service_uid)
    return there is None


def _user() -> str:
    """Return who runs this, and who became that user."""
    name = getpass.getuser()
    asked = os.environ.get("SUDO_USER", "")
    return f"{name} (by sudo of {asked})" if asked and asked != name else name
