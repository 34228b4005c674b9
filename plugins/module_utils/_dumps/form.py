# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the forms of a dump have in common: what is in it, what of it is left, and a reading of its documents."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, TypeAlias

from .._domain.dumped import COLLECTION, TIME_SERIES, Dumped, dumped_from, why_left
from .._domain.errors import OpsError
from .._domain.listing import listed
from .._domain.what_travels import RESTORE_MARK
from .._store.driver import bson, record_codec
from .pieces import damaged

OnDocument: TypeAlias = Callable[[str, bytes], None]
"""Called with a collection and the BSON of one of its documents."""

NOT_DATABASES = ("admin", "config", "local")


@dataclass(frozen=True, slots=True)
class Contents:
    """What is restored of a dump. entries: collections and views, sorted by name. left: what is not, and why."""

    name: str  # of the form: backup, folder, archive
    database: str
    entries: tuple[Dumped, ...]
    left: tuple[str, ...]
    packed: bool = False
    encrypted: bool = False

    def collections(self) -> tuple[Dumped, ...]:
        return tuple(one for one in self.entries if one.kind == COLLECTION)


class Form(Protocol):
    """A dump that can be read as often as is needed."""

    @property
    def contents(self) -> Contents: ...

    def read(self, on_document: OnDocument) -> None:
        """Call `on_document` with each document that is restored. Raises OpsError restore.damaged, file.*."""


def metadata(path: Path, content: bytes, name: str) -> Dumped:
    """Return what a metadata.json says. name: of the collection, in the dump. Raises OpsError restore.damaged."""
    options = bson.json_util.JSONOptions(
        document_class=dict, tz_aware=False, datetime_conversion=record_codec().datetime_conversion
    )
    try:
        found = dumped_from(bson.json_util.loads(content.decode("utf-8"), json_options=options), name)
    # WHY so many: what reads extended JSON tells what it cannot read in as many ways.
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError, bson.errors.BSONError):
        found = None
    if found is None:
        raise damaged(path, f"it does not say how {name} was made")
    return found


def chosen(src: Path, databases: Sequence[str], wanted: str | None) -> str:
    """Return the one database of a dump that is meant. Raises OpsError restore.which_database."""
    own = [name for name in databases if name not in NOT_DATABASES]
    if wanted is None and len(own) == 1:
        return own[0]
    if wanted is not None and wanted in databases:
        return wanted
    raise OpsError(
        f"{src} holds the databases {listed(own) or '(none)'}, "
        + ("expected one" if wanted is None else f"expected {wanted} among them"),
        code="restore.which_database",
        hint="name the one that is meant as `from_database`",
    )


def sorted_out(src: Path, found: Sequence[Dumped]) -> tuple[tuple[Dumped, ...], list[str]]:
    """Return (what is restored, what is left and why). Raises OpsError restore.damaged, restore.of_unfinished."""
    names = [one.name for one in found]
    twice = sorted({name for name in names if names.count(name) > 1}) if len(set(names)) < len(names) else []
    if twice:
        raise damaged(src, f"it holds {listed(twice)} more than once")
    if RESTORE_MARK in names:
        raise OpsError(
            f"{src} is a dump of a database into which another dump was being restored",
            code="restore.of_unfinished",
            hint="take a dump that was made when the restore had ended; this one has only a part of the records",
        )
    taken, left = [], []
    for one in sorted(found, key=lambda one: one.name):
        why = why_left(one.name) or ("a time series" if one.kind == TIME_SERIES else "")
        if why:
            left.append(f"{one.name} ({why})")
        else:
            taken.append(one)
    return tuple(taken), left
