# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The folder of an export: files with owner, group and mode in `dest/project/certificate`, nothing outside it (X26).

Who may read them decides the operator; who may write, nobody but root and this process: folders belong to the user that
runs the module, and links in the place of folders are refused (X24).
"""

from __future__ import annotations

import contextlib
import grp
import hashlib
import os
import pwd
import stat
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from .._domain.errors import OpsError
from .._domain.export_index import INDEX, TABLE, FileEntry, Index, as_json, as_table, parse
from .._domain.export_places import is_part
from .._domain.file_failures import failures_of
from . import private_files, unfinished

_LOOK = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_PRIVATE = 0o600


@dataclass(frozen=True, slots=True)
class Access:
    """Who may read. uid, gid: None for the user and group that run the module. mode: of files."""

    uid: int | None = None
    gid: int | None = None
    mode: int = _PRIVATE

    @property
    def is_default(self) -> bool:
        return self == Access()

    @property
    def folder_mode(self) -> int:
        """Return the mode of folders: who may read a file gets to it; its owner, who does not own them, too."""
        group = stat.S_IRGRP | stat.S_IXGRP if self.mode & stat.S_IRGRP else 0
        others = stat.S_IROTH | stat.S_IXOTH if self.mode & stat.S_IROTH else 0
        passing = stat.S_IXOTH if self.uid not in (None, os.geteuid()) else 0
        return 0o700 | group | others | passing


def access_of(owner: str | None, group: str | None, mode: object, *, with_keys: bool) -> Access:
    """Return what a module's options ask for. Raises OpsError export.access."""
    return Access(_uid(owner), _gid(group), _mode(mode, with_keys=with_keys))


class ExportFolder:
    """dest: absolute or of the working folder. check: nothing is written, and everything is told as if it were."""

    def __init__(self, dest: Path, access: Access, *, check: bool, service_uid: int | None) -> None:
        self.dest = dest
        self._access = access
        self._check = check
        self._service_uid = service_uid

    def index(self) -> Index | None:
        """Return the index of an earlier run, None for none. Raises OpsError export.index_foreign, file.*."""
        if not private_files.require_fit(self.dest, service_uid=self._service_uid):
            return None
        path = self.dest / INDEX
        if not os.path.lexists(path):
            if os.path.lexists(self.dest / TABLE):
                raise _foreign(self.dest / TABLE)
            return None
        try:
            with failures_of(path, writing=False):
                descriptor = os.open(path, _LOOK)
            with os.fdopen(descriptor, "rb") as raw:
                return parse(raw.read())
        except ValueError:
            raise _foreign(path) from None

    def prepare(self, folder: str) -> bool:
        """Make the folders of a certificate; return whether that took anything. Raises OpsError file.*, export.*."""
        changed = False
        places = (self.dest, self.dest / folder.split("/", maxsplit=1)[0], self.path(folder))
        for number, place in enumerate(places):
            exists = private_files.require_fit(place, service_uid=self._service_uid)
            if self._check and not exists:
                return True
            private_files.private_folder(place, service_uid=self._service_uid)
            if not exists or number:  # WHY not always: a `dest` that was there has the mode that somebody gave it
                changed |= self._give_access(place)
            changed |= not exists
        if not self._check:
            unfinished.remove_dead(places[-1])
        return changed

    def path(self, folder: str) -> Path:
        """Return the path of a certificate's folder, proven to be inside `dest`. Raises OpsError export.outside."""
        parts = folder.split("/")
        path = self.dest.joinpath(*parts)
        inside = os.path.join(os.path.realpath(self.dest), *parts)
        links = next((one for one in (path.parent, path) if one.is_symlink()), None)
        if links is None and (len(parts) != 2 or not all(map(is_part, parts)) or os.path.realpath(path) != inside):
            raise OpsError(
                f"{folder!r} does not lie inside {self.dest}",
                code="export.outside",
                hint="this is a fault of the collection: report it with this line; nothing was written there",
            )
        return path  # a link is refused by name where the folder is looked at

    def has(self, folder: str, name: str, *, content: bytes | None, known: FileEntry | None, label: str) -> str:
        """Return the SHA-256 of a file that is as it has to be, "" where it is not.

        content: None for what cannot be made again byte by byte; then the index tells: known, with the same label.
        """
        found = self._sha256(self.path(folder) / name)
        if content is not None:
            return found if found == hashlib.sha256(content).hexdigest() else ""
        return found if known is not None and known.label == label and known.sha256 == found else ""

    def write(self, folder: str, name: str, content: bytes) -> str:
        """Write a file; return its SHA-256. Raises OpsError file.*."""
        self._write(self.path(folder) / name, content)
        return hashlib.sha256(content).hexdigest()

    def write_index(self, index: Index) -> bool:
        """Write both forms of the index; return whether they were others. Raises OpsError file.*."""
        changed = False
        for name, content in ((INDEX, as_json(index)), (TABLE, as_table(index))):
            if self._sha256(self.dest / name) != hashlib.sha256(content).hexdigest():
                changed = True
                if not self._check:
                    private_files.private_folder(self.dest, service_uid=self._service_uid)
                    self._write(self.dest / name, content)
        return changed

    def remove(self, folder: str, name: str, known: FileEntry) -> bool | None:
        """Remove a file that we wrote, and its folders if nothing is left in them; return whether it was there.

        None: it is there and not as we wrote it, so that it stays. Raises OpsError file.*.
        """
        path = self.path(folder) / name
        if not os.path.lexists(path):
            return False
        if path.parent.is_symlink() or path.parent.parent.is_symlink() or _content_sha256(path) != known.sha256:
            return None
        if not self._check:
            with failures_of(path):
                path.unlink()
            with contextlib.suppress(OSError):  # not empty
                path.parent.rmdir()
                path.parent.parent.rmdir()
        return True

    def strangers(self, folder: str, ours: frozenset[str], names: frozenset[str]) -> list[str]:
        """Return the files of some names in a folder that we did not write."""
        path = self.path(folder)
        return [str(path / name) for name in sorted(names - ours) if os.path.lexists(path / name)]

    def _write(self, path: Path, content: bytes) -> None:
        uid, gid = self._access.uid, self._access.gid
        owner = None if uid is None and gid is None else (-1 if uid is None else uid, -1 if gid is None else gid)
        private_files.write_private(path, content, owner=owner, mode=self._access.mode, service_uid=self._service_uid)

    def _give_access(self, place: Path) -> bool:
        """Give a folder group and mode as asked for; return whether it had others."""
        if self._access.is_default:
            return False
        status = place.lstat()
        mode, gid = self._access.folder_mode, self._access.gid
        if stat.S_IMODE(status.st_mode) == mode and gid in (None, status.st_gid):
            return False
        if not self._check:
            descriptor = os.open(place, _LOOK | os.O_DIRECTORY)
            try:
                with failures_of(place):
                    if gid is not None:
                        os.fchown(descriptor, -1, gid)
                    os.fchmod(descriptor, mode)
            finally:
                os.close(descriptor)
        return True

    def _sha256(self, path: Path) -> str:
        """Return the SHA-256 of a file that has the owner, group and mode it has to have, "" for any other."""
        return _content_sha256(path, self._is_as_asked)

    def _is_as_asked(self, status: os.stat_result) -> bool:
        access = self._access
        owners = {access.uid} if access.uid is not None else {0, os.geteuid(), self._service_uid}
        mode = stat.S_IMODE(status.st_mode)
        return (
            status.st_nlink == 1  # WHY: another name of the same file would be a second way to the key
            and status.st_uid in owners
            and access.gid in (None, status.st_gid)
            and mode == access.mode
        )


def _content_sha256(path: Path, fits: Callable[[os.stat_result], bool] = lambda _status: True) -> str:
    """Return the SHA-256 of a file, "" where it is none. fits: called with its status."""
    try:
        descriptor = os.open(path, _LOOK)
    except OSError:
        return ""
    with os.fdopen(descriptor, "rb") as raw:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode) or not fits(status):
            return ""
        return hashlib.file_digest(raw, "sha256").hexdigest()


def _foreign(path: Path) -> OpsError:
    return OpsError(
        f"{path} is no index of an export of ours",
        code="export.index_foreign",
        hint="choose another `dest`; or look at it, and move it away where nobody needs it",
    )


def _uid(owner: str | None) -> int | None:
    if not owner:
        return None
    try:
        return int(owner) if owner.isascii() and owner.isdigit() else pwd.getpwnam(owner).pw_uid
    except KeyError:
        raise _unknown("owner", f"this host knows no user {owner}") from None


def _gid(group: str | None) -> int | None:
    if not group:
        return None
    try:
        return int(group) if group.isascii() and group.isdigit() else grp.getgrnam(group).gr_gid
    except KeyError:
        raise _unknown("group", f"this host knows no group {group}") from None


def _mode(mode: object, *, with_keys: bool) -> int:
    """Return the mode of files. YAML reads 0640 without quotes as the number 416, which is meant as well."""
    try:
        found = mode if isinstance(mode, int) else int(str(mode), 8)
    except ValueError:
        raise _unknown("mode", f'mode is "{mode}", expected one in octal') from None
    if not found & stat.S_IRUSR or found & ~0o644 or (with_keys and found & 0o007):
        raise _unknown(
            "mode",
            f"mode {found:04o} lets others write or run the files, "
            f"{'or lets everybody read keys' if with_keys else 'or is none for a file'}",
        )
    return found


def _unknown(option: str, found: str) -> OpsError:
    return OpsError(
        found, code="export.access", hint=f"correct `{option}`; for example owner root, group www-data, 0640"
    )
