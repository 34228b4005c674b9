# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Verb secrets_archive: a secrets file encrypted into an archive, read back, and only then removed from its host.

Kill it anywhere and run it again: the file is there until an archive of it is, and a second archive harms nobody.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from .._domain.errors import FileMissing, OpsError
from .._domain.file_failures import failures_of
from .._domain.result import Result
from .._domain.settings import Settings
from .._store import age_keys, private_files, sealed_file
from .._store.opener import open_trusted, uid_of

_NAME = re.compile(r"[A-Za-z0-9._-]{1,100}")


@dataclass(frozen=True, slots=True)
class Options:
    """src: the secrets file that goes. dest: folder of the archive. name: how its files begin, one for each host.

    recipients: age public keys to which it is encrypted. file_owner: to whom it may belong besides root.
    """

    src: str
    dest: str
    name: str
    recipients: tuple[str, ...]
    file_owner: str = ""


def run(settings: Settings, options: Options, *, check: bool, warn: Callable[[str], None]) -> Result:
    """Archive and remove. Raises OpsError archive.options, archive.damaged, bundle.recipient_invalid, file.*."""
    if not options.recipients or not _NAME.fullmatch(options.name):
        raise OpsError(
            f'{len(options.recipients)} recipients and name "{options.name}", expected at least one and a plain name',
            code="archive.options",
            hint="give age public keys as `recipients`, and a name of letters, digits, dots and dashes",
        )
    recipients = age_keys.recipients_from(options.recipients)
    src, dest, uid = Path(options.src), Path(options.dest), uid_of(options.file_owner)
    before = sorted(str(path) for path in dest.glob(f"{options.name}-*{sealed_file.SUFFIX}"))
    try:
        content = _read(src, uid)
    except FileMissing:
        return _result(src, before, removed=False)
    if check:
        return _result(src, before, removed=True)
    private_files.private_folder(dest, service_uid=uid)
    archive = dest / f"{options.name}-{datetime.now(UTC):%Y%m%dT%H%M%SZ}{sealed_file.SUFFIX}"
    sealed = sealed_file.sealed(content, recipients)
    private_files.write_private(archive, sealed, replace=False, service_uid=uid)
    if private_files.file_sha256(archive, service_uid=uid) != hashlib.sha256(sealed).hexdigest():
        raise OpsError(
            f"{archive} does not read back as it was written, expected the same bytes",
            code="archive.damaged",
            hint=f"is the disk full or failing? {src} was not removed; give another `dest`",
        )
    with failures_of(src):
        os.unlink(src)
        private_files.sync_folder(src.parent)
    return _result(src, [*before, str(archive)], removed=True)


def _read(path: Path, service_uid: int | None) -> bytes:
    with open_trusted(path, private=True, service_uid=service_uid) as raw, failures_of(path, writing=False):
        return raw.read()


def _result(src: Path, archives: list[str], *, removed: bool) -> Result:
    values = {"archived": {"src": str(src), "archives": archives}}
    before = {"secrets_file": "there" if removed else "gone"}
    return Result(changed=removed, values=values, before=before, after={"secrets_file": "gone"})
