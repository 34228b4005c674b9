# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Folders of mongodump, and our backups, which are of the same shape: `<database>/<collection>.bson` and metadata.

In mongodump's, `.gz` may be behind each name, and in ours `.age`. Which collection a file is of, its metadata tell: the
names of files are encoded, and long ones shortened.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote

from .._domain.dumped import COLLECTION, Dumped
from .._store.age_keys import Identity
from .._store.opener import require_own_folder
from .backup_manifest import BackupManifest
from .form import NOT_DATABASES, Contents, OnDocument, chosen, metadata, sorted_out
from .pieces import damaged, documents, each_piece, whole

_FILE = re.compile(r"(?P<base>.+)\.(?P<kind>bson|metadata\.json)(?P<behind>\.gz|\.age|)", re.DOTALL)
_OF_THE_TOOL = ("prelude.json", "prelude.json.gz")  # mongodump's own note of which releases were at work
_METADATA_AT_MOST = 16 * 1024 * 1024  # bytes: a server tells it in one document
_SHORTENED = re.compile(r".{100,}\$[\w-]{27}", re.DOTALL)  # how mongodump ends a name that is too long for a file


@dataclass(frozen=True, slots=True)
class _Part:
    """One collection's files; None for one that is not there."""

    documents: Path | None
    metadata: Path | None


class DumpFolder:
    """The dump of one database in a folder."""

    def __init__(self, contents: Contents, files: dict[str, Path], identity: Identity | None, uid: int | None) -> None:
        self.contents = contents
        self._files = files  # name of a collection -> file of its documents
        self._identity, self._uid = identity, uid

    def read(self, on_document: OnDocument) -> None:
        for one in self.contents.collections():
            path = self._files[one.name]
            cut = documents(path, lambda raw, name=one.name: on_document(name, raw))  # type: ignore[misc]
            each_piece(path, cut.add, identity=self._identity, service_uid=self._uid)
            cut.finish()


def of_backup(src: Path, manifest: BackupManifest, *, identity: Identity | None, service_uid: int | None) -> DumpFolder:
    """Return the dump in a backup of ours, whose files were found to be what its manifest says."""
    folder = src / manifest["database"]
    require_own_folder(folder, service_uid=service_uid)
    return _folder("backup", folder, manifest["database"], [], identity, service_uid)


def of_mongodump(src: Path, *, from_database: str | None, service_uid: int | None) -> DumpFolder | None:
    """Return the dump in a folder of mongodump: the folder of one database, or one that holds such; None for neither.

    Raises OpsError restore.which_database, restore.damaged, restore.of_unfinished, file.*.
    """
    names = _names(src)
    folders = [name for name in names if (src / name).is_dir() and not (src / name).is_symlink()]
    files = [name for name in names if _FILE.fullmatch(name) and not name.startswith("oplog.bson")]
    if files:
        return _folder("folder", src, src.name, [], None, service_uid)
    holding = [name for name in folders if any(_FILE.fullmatch(file) for file in _names(src / name))]
    if not holding:
        return None
    database = chosen(src, holding, from_database)
    require_own_folder(src / database, service_uid=service_uid)
    left = [f"{name} (of another database)" for name in holding if name not in (database, *NOT_DATABASES)]
    left += [f"{name} (the server's own)" for name in holding if name in NOT_DATABASES]
    left += [f"{name} (nothing of a database)" for name in names if name not in (*holding, *_OF_THE_TOOL)]
    return _folder("folder", src / database, database, left, None, service_uid)


def _names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def _folder(
    form: str, folder: Path, database: str, left: Sequence[str], identity: Identity | None, uid: int | None
) -> DumpFolder:
    parts, others = _parts(folder)
    found, files = list[Dumped](), dict[str, Path]()
    for base, part in parts.items():
        one = _described(folder, base, part, identity, uid)
        found.append(one)
        if part.documents is not None:
            files[one.name] = part.documents
        elif one.kind == COLLECTION:
            raise damaged(folder, f"the documents of {one.name} are missing")
    taken, not_taken = sorted_out(folder, found)
    seen = [path.name for part in parts.values() for path in (part.documents, part.metadata) if path is not None]
    packed = any(name.endswith(".gz") for name in seen)
    encrypted = any(name.endswith(".age") for name in seen)
    contents = Contents(form, database, taken, (*left, *others, *not_taken), packed=packed, encrypted=encrypted)
    return DumpFolder(contents, files, identity, uid)


def _parts(folder: Path) -> tuple[dict[str, _Part], list[str]]:
    """Return (base name -> files, what is neither documents nor metadata). Raises OpsError restore.damaged."""
    parts, others = dict[str, _Part](), list[str]()
    for name in _names(folder):
        match = _FILE.fullmatch(name)
        if match is None:
            others += [] if name in _OF_THE_TOOL else [f"{name} (nothing of a database)"]
            continue
        part, path = parts.get(match["base"], _Part(None, None)), folder / name
        if (part.documents if match["kind"] == "bson" else part.metadata) is not None:
            raise damaged(folder, f"{match['base']} is in it more than once")
        is_bson = match["kind"] == "bson"
        parts[match["base"]] = _Part(path if is_bson else part.documents, part.metadata if is_bson else path)
    return parts, others


def _described(folder: Path, base: str, part: _Part, identity: Identity | None, uid: int | None) -> Dumped:
    name = unquote(base)
    if part.metadata is None:
        if _SHORTENED.fullmatch(name):
            raise damaged(folder, f"the name of the collection in {base} is shortened, and its metadata is missing")
        return Dumped(name)
    content = whole(part.metadata, at_most=_METADATA_AT_MOST, identity=identity, service_uid=uid)
    return metadata(part.metadata, content, name)
