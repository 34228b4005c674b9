# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""An export of certificates: chosen from a source, read, written into a folder, and told apart from what lay there.

 1. Every certificate of the source is listed, so that its place does not depend on what was chosen.
 2. The chosen ones are fetched a few at a time; what can be written of each is, and what cannot is its problem (X91).
 3. What an earlier run wrote and is not true any more goes; the index says what is there now (X92).
The index is written before the first file as well: a run that is killed leaves nothing that no index names.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime

from .._domain.certificate_files import ALIASES, FORMATS, KEY_BEARING, build, label, possible
from .._domain.certificate_filter import facts_of, issuer_name
from .._domain.certificate_material import Material, read
from .._domain.certificate_source import CertificateSource, Fetched, Listed, Problem
from .._domain.errors import OpsError
from .._domain.export_index import (
    FAILED,
    INCOMPLETE,
    UNDER_WAY,
    WRITTEN,
    Entry,
    FileEntry,
    Index,
    merged,
    stale,
)
from .._domain.instants import rfc3339
from .._domain.library_refusals import REFUSED
from .._domain.listing import listed as named
from .._store import records, sealed_file
from .._store.export_folder import ExportFolder
from .certificate_choice import Chosen, Request, choose

BATCH = 100  # certificates in memory at a time
_NAMES = frozenset({name + suffix for name in (*FORMATS, *ALIASES) for suffix in ("", sealed_file.SUFFIX)})


@dataclass(slots=True)
class Outcome:
    """What a run did. entries: of this run. written, removed: files. changed: whether anything is another now.

    keyless: folders of certificates whose key was made elsewhere. gone: folders of projects that are gone.
    """

    entries: list[Entry] = field(default_factory=list)
    missed: list[Problem] = field(default_factory=list)
    keyless: list[str] = field(default_factory=list)
    gone: list[str] = field(default_factory=list)
    written: int = 0
    removed: int = 0
    changed: bool = False

    @property
    def files(self) -> int:
        return sum(len(entry.files) for entry in self.entries)


class Export:
    """One run over what was chosen. before_override: called once, before a key is written that a policy withholds."""

    def __init__(
        self, source: CertificateSource, folder: ExportFolder, request: Request, *, check: bool,
        before_override: Callable[[Sequence[Chosen]], None],
    ) -> None:  # fmt: skip
        self._source = source
        self._folder = folder
        self._request = request
        self._check = check
        self._before_override = before_override
        self._outcome = Outcome()
        self._former: Index | None = None
        self._known: dict[str, Entry] = {}
        self._chosen: list[Chosen] = []
        self._not_chosen: set[str] = set()  # ids, by what the certificates themselves say
        self._begun = self._overridden = False

    def run(self, warn: Callable[[str], None]) -> Outcome:
        """Export. Raises OpsError export.*, file.*, and what the source raises."""
        self._former = self._folder.index()
        self._require_own(self._former)
        self._known = self._former.by_folder() if self._former is not None else {}
        self._chosen = choose(self._source, self._request)  # 1
        self._outcome.missed = list(self._source.missed)
        gone = {one.folder.partition("/")[0] for one in self._chosen if one.listed.project.is_gone}
        self._outcome.gone = sorted(gone)
        for batch in records.batches(self._chosen, BATCH):  # 2
            folders = {(one.listed.project, one.listed.key): one.folder for one in batch}
            for fetched in self._source.fetch([one.listed for one in batch], with_keys=self._request.include_keys):
                entry = self._one(fetched, folders[fetched.listed.project, fetched.listed.key])
                if entry is not None:
                    self._outcome.entries.append(entry)
        self._tidy(warn)  # 3
        return self._outcome

    def _require_own(self, former: Index | None) -> None:
        if former is not None and former.source != self._source.identity:
            raise OpsError(
                f"{self._folder.dest} holds an export of {former.source}, and this is {self._source.identity}",
                code="export.other_source",
                hint="choose another `dest`: one folder is of one installation, by one road",
            )

    def _one(self, fetched: Fetched, folder: str) -> Entry | None:
        """Write what there is of one certificate; None where it is not chosen after all."""
        material, problems = read(fetched, self._request.now)
        told = fetched.listed.facts
        facts = facts_of(material.leaf, told) if material is not None else told
        if fetched.problem is None and not self._request.filter.chooses(facts):
            self._not_chosen.add(fetched.listed.id)
            return None
        entry = _entry(fetched.listed, folder, problems)
        if material is None:
            return replace(entry, outcome=FAILED, not_after=_instant(facts.not_after))
        files, unwritable = self._files(material, fetched, folder)
        has_key = any(self._request.file_of(name) in files for name in KEY_BEARING)
        if self._request.include_keys and material.key is None and not fetched.key_problems and not fetched.keys:
            self._outcome.keyless.append(folder)
        problems = (*problems, *unwritable)
        return replace(
            entry,
            outcome=INCOMPLETE if problems else WRITTEN,
            files=files,
            problems=problems,
            fingerprint=material.fingerprint,
            serial=format(material.leaf.serial_number, "x"),
            not_after=_instant(facts.not_after),
            issuer=issuer_name(material.leaf),
            chain=_chain(material),
            has_key=has_key,
        )

    def _files(
        self, material: Material, fetched: Fetched, folder: str
    ) -> tuple[dict[str, FileEntry], tuple[Problem, ...]]:
        request, files, problems = self._request, dict[str, FileEntry](), list[Problem]()
        wanted = possible(material, request.formats, request.passphrase)
        if wanted:
            self._outcome.changed |= self._folder.prepare(folder)
        for name in wanted:
            try:
                files[request.file_of(name)] = self._file(material, name, fetched, folder)
            except REFUSED as cause:
                why = f"{name} cannot be made of its key or names ({type(cause).__name__})"
                problems.append(Problem("certificate.unwritable", why))
        return files, tuple(problems)

    def _file(self, material: Material, name: str, fetched: Fetched, folder: str) -> FileEntry:
        """Write one file unless it is there. Raises ValueError, TypeError where it cannot be made."""
        request, file = self._request, self._request.file_of(name)
        made_of = label(material, name, request.passphrase, request.recipients)
        content = None if made_of else build(material, name, request.passphrase)
        older = self._known.get(folder)
        known = older.files.get(file) if older is not None else None
        there = self._folder.has(folder, file, content=content, known=known, label=made_of)
        if there:
            return FileEntry(there, made_of)
        if content is None:
            content = build(material, name, request.passphrase)
        if file != name:
            content = sealed_file.sealed(content, request.recipient_keys)
        self._outcome.written += 1
        if self._check:
            return FileEntry(hashlib.sha256(content).hexdigest(), made_of)
        self._begin()
        if name in KEY_BEARING and fetched.against_policy and not self._overridden:
            self._overridden = True
            self._before_override(self._chosen)
        return FileEntry(self._folder.write(folder, file, content), made_of)

    def _begin(self) -> None:
        """Before the first file: write an index with every file that may come."""
        if not self._begun:
            self._begun = True
            planned = {entry.folder: entry for entry in self._planned()}
            self._folder.write_index(Index(self._source.identity, tuple({**self._known, **planned}.values())))

    def _planned(self) -> Iterator[Entry]:
        for one in self._chosen:
            older = self._known.get(one.folder)
            files = {self._request.file_of(name): FileEntry("") for name in self._request.formats}
            entry = replace(_entry(one.listed, one.folder, ()), outcome=UNDER_WAY, files=files)
            if older is not None:  # WHY also of another certificate: its files are there until the end of this run
                same = older.id == entry.id
                entry = replace(entry, files={**files, **older.files}, fingerprint=older.fingerprint if same else "")
            yield entry

    def _merged(self, entries: Sequence[Entry]) -> Index:
        by, ids = self._request.chosen_by, frozenset(one.listed.id for one in self._chosen) - self._not_chosen
        new = Index(self._source.identity, tuple(replace(entry, chosen_by=by) for entry in entries))
        return merged(self._former, new, chosen=ids, chosen_by=by, is_whole=not self._outcome.missed)

    def _tidy(self, warn: Callable[[str], None]) -> None:
        outcome, index, left = self._outcome, self._merged(self._outcome.entries), list[str]()
        for folder, name, known in stale(self._former, index):
            gone = self._folder.remove(folder, name, known)
            outcome.removed += gone is True
            if gone is None:
                left.append(f"{folder}/{name}")
        now = index.by_folder()
        for entry in outcome.entries:
            left += self._folder.strangers(entry.folder, frozenset(now[entry.folder].files), _NAMES)
        if left:
            warn(f"{named(sorted({*left}))}: not as this module wrote it, so that it stays; it may hold an old key")
        if outcome.entries or self._former is not None:
            outcome.changed |= self._folder.write_index(index)
        outcome.changed |= bool(outcome.written or outcome.removed)


def _entry(listed: Listed, folder: str, problems: tuple[Problem, ...]) -> Entry:
    return Entry(
        id=listed.id,
        project=listed.project.id,
        project_name=listed.project.title,
        name=listed.name,
        folder=folder,
        outcome=FAILED,
        files={},
        problems=problems,
        status=listed.facts.status,
    )


def _instant(instant: datetime | None) -> str:
    return "" if instant is None else rfc3339(instant)


def _chain(material: Material) -> str:
    """Return the state of a chain, and that a part of it is not valid now."""
    return f"{material.chain.state}, expired" if material.chain.expired else material.chain.state
