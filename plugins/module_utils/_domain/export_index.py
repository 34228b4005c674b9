# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The index of an export: what lies in its folder and is of ours, what is in it, and what could not be written.

`index.json` is for programs and for the next run, which removes by it what is not true any more, and nothing that is
not in it (X92). `index.csv` is for people with a spreadsheet.
"""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from .certificate_source import Problem
from .export_places import is_part
from .values import JsonObject

INDEX, TABLE = "index.json", "index.csv"
FORMAT = "certautopilot.ops export 1"
WRITTEN, INCOMPLETE, FAILED, UNDER_WAY = "written", "incomplete", "failed", "under way"
_COLUMNS = (
    "project", "name", "id", "serial_number", "not_after", "issuer", "status", "fingerprint_sha256", "has_key", "chain",
    "outcome", "problems", "folder",
)  # fmt: skip
_FORMULA = ("=", "+", "-", "@", "\t", "\r")  # what spreadsheets take for the beginning of a formula
_UNSEEN = re.compile(r"[\x00-\x1f\x7f-\x9f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u2069\ud800-\udfff\ufeff]")


@dataclass(frozen=True, slots=True)
class FileEntry:
    """A file that we wrote. sha256: in hex, "" where a run was to write it and did not end. label: what it is made of.

    See `certificate_files.label`.
    """

    sha256: str
    label: str = ""


@dataclass(frozen=True, slots=True)
class Entry:
    """One certificate. folder: `project/certificate`. files: by name. chain: a state of `certificate_chain`.

    chosen_by: the filters that it was chosen by, as text; "" for none.
    """

    id: str
    project: str
    project_name: str
    name: str
    folder: str
    outcome: str
    files: Mapping[str, FileEntry]
    problems: tuple[Problem, ...] = ()
    fingerprint: str = ""
    serial: str = ""
    not_after: str = ""
    issuer: str = ""
    status: str = ""
    chain: str = ""
    has_key: bool = False
    chosen_by: str = ""

    def as_json(self) -> JsonObject:
        return {
            "id": self.id,
            "project": self.project,
            "project_name": self.project_name,
            "name": self.name,
            "folder": self.folder,
            "serial_number": self.serial,
            "not_after": self.not_after,
            "issuer": self.issuer,
            "status": self.status,
            "fingerprint_sha256": self.fingerprint,
            "has_key": self.has_key,
            "chain": self.chain,
            "outcome": self.outcome,
            "chosen_by": self.chosen_by,
            "problems": [{"code": one.code, "reason": one.reason} for one in self.problems],
            "files": {
                name: {"sha256": one.sha256, **({"label": one.label} if one.label else {})}
                for name, one in sorted(self.files.items())
            },
        }


@dataclass(frozen=True, slots=True)
class Index:
    """source: see `CertificateSource.identity`."""

    source: str
    entries: tuple[Entry, ...] = field(default=())

    def by_folder(self) -> dict[str, Entry]:
        return {entry.folder: entry for entry in self.entries}

    def files(self) -> Iterator[tuple[str, str, FileEntry]]:
        """Yield (folder, name, file)."""
        for entry in self.entries:
            for name, file in entry.files.items():
                yield entry.folder, name, file


def merged(former: Index | None, new: Index, *, chosen: frozenset[str], chosen_by: str, is_whole: bool) -> Index:
    """Return the index after a run. chosen: ids that this run looked at. chosen_by: its filters.

    is_whole: the source told of all it has.

    A file of an earlier run stays as long as what it was written for is still so: the same certificate in the same
    folder, whatever formats this run was asked for. Entries that this run did not look at stay, unless it looked by the
    same filters, or by none, and did not find them, or needs their folder.
    """
    if former is None:
        return _sorted(new)
    before, taken = former.by_folder(), {entry.folder for entry in new.entries}
    troubled = {entry.id for entry in new.entries if entry.problems}  # nothing newer may be there: the old stays
    kept = [
        entry for entry in former.entries
        if entry.folder not in taken and (
            entry.id in troubled
            or (entry.id not in chosen and not (is_whole and chosen_by in ("", entry.chosen_by)))
        )
    ]  # fmt: skip
    entries = [_with_older(entry, before.get(entry.folder)) for entry in new.entries]
    return _sorted(replace(new, entries=(*entries, *kept)))


def _with_older(entry: Entry, older: Entry | None) -> Entry:
    if older is None or older.id != entry.id:
        return entry
    written = {name: file for name, file in older.files.items() if file.sha256}
    if entry.outcome == FAILED:  # WHY all: what was written then fits together, and there is nothing newer
        return replace(entry, files=written, fingerprint=older.fingerprint, has_key=older.has_key)
    if older.fingerprint != entry.fingerprint:
        return entry
    return replace(entry, files={**written, **entry.files}, has_key=entry.has_key or older.has_key)


def _sorted(index: Index) -> Index:
    return replace(index, entries=tuple(sorted(index.entries, key=lambda entry: entry.folder)))


def stale(former: Index | None, now: Index) -> list[tuple[str, str, FileEntry]]:
    """Return what an earlier run wrote and is not true any more: (folder, name, file)."""
    if former is None:
        return []
    current = {(folder, name) for folder, name, _file in now.files()}
    return [(folder, name, file) for folder, name, file in former.files() if (folder, name) not in current]


def as_json(index: Index) -> bytes:
    """Return index.json. One certificate a line, so that two of them can be compared by line."""
    head = json.dumps({"format": FORMAT, "source": index.source})
    lines = (",\n" if number else "\n" for number in range(len(index.entries)))
    rows = (comma + json.dumps(entry.as_json()) for comma, entry in zip(lines, index.entries, strict=True))
    return f'{head[:-1]}, "certificates": [{"".join(rows)}\n]}}\n'.encode()


def parse(content: bytes) -> Index:
    """Return what an index.json says. Raises ValueError where it is none of ours."""
    try:
        found = json.loads(content)
        if found["format"] != FORMAT:
            raise ValueError("another format")
        entries = tuple(_entry(one) for one in found["certificates"])
        return Index(str(found["source"]), entries)
    except (KeyError, TypeError, AttributeError, UnicodeDecodeError, RecursionError) as cause:
        raise ValueError("no index") from cause


def _entry(found: Mapping[str, object]) -> Entry:
    folder, files = str(found["folder"]), found["files"]
    if not isinstance(files, dict) or not isinstance(found["problems"], list):
        raise ValueError("no files")
    if len(folder.split("/")) != 2 or not all(is_part(part) for part in (*folder.split("/"), *files)):
        raise ValueError("a path that we do not make")
    return Entry(
        id=str(found["id"]),
        project=str(found["project"]),
        project_name=str(found["project_name"]),
        name=str(found["name"]),
        folder=folder,
        outcome=str(found["outcome"]),
        files={name: FileEntry(str(one["sha256"]), str(one.get("label", ""))) for name, one in files.items()},
        problems=tuple(Problem(str(one["code"]), str(one["reason"])) for one in found["problems"]),
        fingerprint=str(found["fingerprint_sha256"]),
        serial=str(found["serial_number"]),
        not_after=str(found["not_after"]),
        issuer=str(found["issuer"]),
        status=str(found["status"]),
        chain=str(found["chain"]),
        has_key=found["has_key"] is True,
        chosen_by=str(found["chosen_by"]),
    )


def as_table(index: Index) -> bytes:
    """Return index.csv: every cell in quotes, none that a spreadsheet would run, nothing unseen in any."""
    text = io.StringIO(newline="")
    writer = csv.writer(text, quoting=csv.QUOTE_ALL, lineterminator="\r\n")
    writer.writerow(_COLUMNS)
    writer.writerows(_row(entry) for entry in index.entries)
    return text.getvalue().encode("utf-8")


def _row(entry: Entry) -> Sequence[str]:
    told = entry.as_json()
    told["project"], told["has_key"] = entry.project_name, "yes" if entry.has_key else "no"
    told["problems"] = "; ".join(f"{one.code}: {one.reason}" for one in entry.problems)
    return [cell(str(told[name])) for name in _COLUMNS]


def cell(text: str) -> str:
    """Return a text that a spreadsheet shows and does not run. Source: OWASP, "CSV Injection"."""
    seen = _UNSEEN.sub("\N{REPLACEMENT CHARACTER}", text)
    return f"'{seen}" if text.startswith(_FORMULA) or seen.lstrip().startswith(_FORMULA) else seen


def counts(entries: Iterable[Entry]) -> dict[str, int]:
    """Return how many certificates ended how."""
    found = dict.fromkeys((WRITTEN, INCOMPLETE, FAILED), 0)
    for entry in entries:
        found[entry.outcome] = found.get(entry.outcome, 0) + 1
    return found
