# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What an export is asked for, and which certificates of a source that is, each with its place in the folder."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from .._domain.certificate_files import KEY_BEARING
from .._domain.certificate_filter import Filter
from .._domain.certificate_source import CertificateSource, Listed, Project
from .._domain.errors import OpsError
from .._domain.export_index import INDEX, TABLE
from .._domain.export_places import Places
from .._domain.listing import listed as named
from .._domain.secret import Secret
from .._store import sealed_file
from .._store.age_keys import Recipient


@dataclass(frozen=True, slots=True)
class Request:
    """What is asked for. recipients: as texts and as keys; files with a key are encrypted to them.

    chosen_by: the filters, as the index keeps them; "" for none.
    """

    formats: tuple[str, ...]
    projects: frozenset[str]
    filter: Filter
    chosen_by: str
    include_keys: bool
    now: datetime
    passphrase: Secret[bytes] | None = None
    recipients: tuple[str, ...] = ()
    recipient_keys: Sequence[Recipient] = ()

    def file_of(self, name: str) -> str:
        """Return the name of the file that a format becomes."""
        return name + sealed_file.SUFFIX if self.recipients and name in KEY_BEARING else name


@dataclass(frozen=True, slots=True)
class Chosen:
    listed: Listed
    folder: str


def choose(source: CertificateSource, request: Request) -> list[Chosen]:
    """Return the chosen certificates and their places: little of each. Raises OpsError export.not_found."""
    projects = list(source.projects())
    folders, inside, chosen = Places((INDEX, TABLE)), dict[str, Places](), list[Listed]()
    seen = set(projects)
    for one in projects:
        folders.count(one.title)
    for listed in source.listing([one for one in projects if _of(one, request.projects)]):
        if listed.project not in seen:
            seen.add(listed.project)
            folders.count(listed.project.title)
        inside.setdefault(listed.project.id, Places()).count(listed.name)
        if _of(listed.project, request.projects) and request.filter.may_choose(listed):
            chosen.append(listed)
    _require_found("project", request.projects, [name for one in seen for name in one.names])
    called = [name for listed in chosen for name in listed.aliases]
    _require_found("certificate", request.filter.names, called)
    _require_found("certificate", request.filter.ids, [listed.id for listed in chosen])
    return [
        Chosen(
            listed,
            f"{folders.place(listed.project.title, listed.project.id)}"
            f"/{inside[listed.project.id].place(listed.name, listed.mark)}",
        )
        for listed in chosen
    ]


def _of(project: Project, asked: frozenset[str]) -> bool:
    return not asked or bool(asked & project.names)


def _require_found(what: str, asked: frozenset[str], known: Sequence[str]) -> None:
    missing = sorted(asked - set(known))
    if missing:
        where = " in what was chosen" if what == "certificate" else ""
        raise OpsError(
            f"no {what} {named(missing)}{where}",
            code="export.not_found",
            hint="names, slugs, common names and ids match",
        )
