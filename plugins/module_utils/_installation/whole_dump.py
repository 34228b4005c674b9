# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A whole dump read before anything is done with it: it is complete, and what its manifest says of it holds."""

from __future__ import annotations

from collections.abc import Callable

from .._domain.errors import OpsError
from .._domain.listing import listed
from .._dumps.backup_manifest import BackupManifest
from .._dumps.form import Form
from .._store.restored_records import Tally


def read(
    src: str, form: Form, manifest: BackupManifest | None, note: Callable[[str, bytes], None] | None = None
) -> Tally:
    """Read all of a dump; return what is in it. Raises OpsError restore.damaged, backup.damaged, file.*.

    note: called with (collection, BSON) of each document; what it took is true only where this returns.
    """
    tally = Tally()
    for one in form.contents.collections():
        tally.begin(one.name)

    def take(collection: str, raw: bytes) -> None:
        tally.add(collection, raw)
        if note is not None:
            note(collection, raw)

    form.read(take)
    wanted = {} if manifest is None else manifest["collections"]
    told = {name: (entry["documents"], entry["sha256"]) for name, entry in wanted.items()}
    if manifest is not None and told != tally.in_order():
        names = sorted(name for name in {*told, *tally.collections} if told.get(name) != tally.in_order().get(name))
        raise OpsError(
            f"the documents of {listed(names)} in {src} are not those that its backup.json tells of",
            code="backup.damaged",
            hint="take it from another copy of the backup; nothing was written",
        )
    return tally
