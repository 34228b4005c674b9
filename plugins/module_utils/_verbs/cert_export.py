# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Verb cert_export: certificates and, when asked, their keys as files: 0600, atomic, untouched when they are the same.

Read from the database; the KEK is loaded only when keys are asked for. A key never enters a result.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from .._domain.certificate_files import FORMATS, KEY_BEARING, Material, build, fingerprint, safe_name, same
from .._domain.errors import OpsError
from .._domain.instants import rfc3339
from .._domain.result import Result
from .._domain.secret import Secret
from .._domain.settings import Settings
from .._domain.values import BsonValue, JsonObject
from .._installation import opened_records
from .._installation import survey as surveys
from .._installation.installation import Installation, open_database, open_installation
from .._installation.layout_detection import remembered_layout
from .._installation.sealing import Sealing
from .._store import private_files, record_bytes, records, unfinished
from .._store.connection import Store
from .._store.driver import Document
from .._store.opener import open_trusted

CERTIFICATES, PRIVATE_KEYS, PROJECTS = "certificates", "certificate_private_keys", "projects"
PRIVATE_KEY = ("encrypted_key",)  # steps to the field
BATCH = 100  # certificates at a time


@dataclass(frozen=True, slots=True)
class Options:
    """projects: ids, slugs or names. names: certificate names, common names or ids. Both empty: everything."""

    dest: str
    formats: tuple[str, ...] = ("cert.pem", "chain.pem", "fullchain.pem")
    projects: tuple[str, ...] = ()
    names: tuple[str, ...] = ()
    include_keys: bool = False
    passphrase_file: str | None = None


@dataclass(frozen=True, slots=True)
class _Source:
    store: Store
    installation: Installation | None
    sealing: Sealing | None
    service_uid: int | None


@dataclass(frozen=True, slots=True)
class _Chosen:
    """A certificate to export. folder: of its project; name: of its files in there."""

    record_id: BsonValue
    project: str
    folder: str
    name: str


@dataclass(frozen=True, slots=True)
class _Exported:
    """A certificate as the result shows it. written: files that were not there, or were others."""

    chosen: _Chosen
    name: str
    files: list[str]
    fingerprint: str
    not_after: str
    has_key: bool
    written: int

    def as_result(self) -> JsonObject:
        return {
            "id": str(self.chosen.record_id),
            "project": self.chosen.project,
            "name": self.name,
            "files": self.files,
            "fingerprint_sha256": self.fingerprint,
            "not_after": self.not_after,
            "has_key": self.has_key,
        }


def run(settings: Settings, options: Options, *, check: bool, warn: Callable[[str], None]) -> Result:
    """Export. Raises OpsError export.*, certificate.malformed, record.unreadable, file.*."""
    _require_sense(options)
    passphrase = _passphrase(settings, options)
    with _opened(settings, warn, with_keys=options.include_keys) as source:
        projects = _projects(source.store, options)
        chosen = _chosen(source.store, options, projects)
        exported = [
            entry
            for start in range(0, len(chosen), BATCH)
            for entry in _export(source, options, chosen[start : start + BATCH], passphrase, check=check, warn=warn)
        ]
    files, changed = sum(len(entry.files) for entry in exported), sum(entry.written for entry in exported)
    facts = {"certificates": len(exported), "files": files}
    return Result(
        changed=changed > 0,
        values={"certificates": [entry.as_result() for entry in exported]},
        before={**facts, "current": files - changed},
        after={**facts, "current": files},
    )


def _passphrase(settings: Settings, options: Options) -> Secret[bytes] | None:
    """Return the passphrase. Raises OpsError file.*, passphrase.empty."""
    if options.passphrase_file is None:
        return None
    path = Path(options.passphrase_file)
    return Secret(private_files.read_private(path, empty_code="passphrase.empty", service_uid=settings.service_uid))


def _require_sense(options: Options) -> None:
    unknown = sorted(set(options.formats) - set(FORMATS))
    if unknown or not options.formats:
        raise OpsError(f"formats {unknown or 'none'}", code="export.formats", hint=f"choose from {', '.join(FORMATS)}")
    bearing = sorted(KEY_BEARING & set(options.formats))
    if bearing and not options.include_keys:
        raise OpsError(
            f"{', '.join(bearing)} hold private keys",
            code="export.keys_not_allowed",
            hint="set `include_keys: true` if that is meant",
        )
    if "bundle.p12" in options.formats and options.passphrase_file is None:
        raise OpsError(
            "bundle.p12 needs a passphrase",
            code="export.passphrase_missing",
            hint="give `passphrase_file`, a 0600 file",
        )


@contextmanager
def _opened(settings: Settings, warn: Callable[[str], None], *, with_keys: bool) -> Iterator[_Source]:
    if not with_keys:
        with open_database(settings) as store:
            yield _Source(store, None, None, settings.service_uid)
        return
    with open_installation(settings) as installation:
        sample = surveys.sample_of(installation.store, installation.catalogue)
        layout = remembered_layout(installation.store, installation.provider, sample, warn=warn, note=False)
        yield _Source(installation.store, installation, Sealing(installation.provider, layout), settings.service_uid)


def _projects(store: Store, options: Options) -> dict[bytes, tuple[str, str]]:
    """Return id key -> (folder name, id) of the chosen projects."""
    found, matched = {}, set()
    for document in records.stream(store, PROJECTS):
        names = {str(document["_id"]), str(document.get("slug", "")), str(document.get("name", ""))}
        if not options.projects or names & set(options.projects):
            matched |= names & set(options.projects)
            folder = safe_name(str(document.get("slug") or document.get("name") or document["_id"]))
            found[record_bytes.id_key(document["_id"])] = (folder, str(document["_id"]))
    missing = sorted(set(options.projects) - matched)
    if missing:
        raise OpsError(f"no project {', '.join(missing)}", code="export.not_found", hint="names, slugs and ids match")
    return found


def _chosen(store: Store, options: Options, projects: dict[bytes, tuple[str, str]]) -> list[_Chosen]:
    """Return what is to be exported: little of each certificate, because there may be many."""
    chosen, matched = list[_Chosen](), set[str]()
    for document in records.stream(store, CERTIFICATES):
        project = projects.get(record_bytes.id_key(document.get("project_id")))
        names = {str(document["_id"]), str(document.get("name", "")), str(document.get("common_name", ""))}
        if project is None or (options.names and not names & set(options.names)):
            continue
        matched |= names & set(options.names)
        name = safe_name(str(document.get("name") or document.get("common_name") or document["_id"]))
        chosen.append(_Chosen(document["_id"], project[1], project[0], name))
    missing = sorted(set(options.names) - matched)
    if missing:
        raise OpsError(
            f"no certificate {', '.join(missing)} in the chosen projects",
            code="export.not_found",
            hint="names, common names and ids match",
        )
    taken = Counter((entry.folder, entry.name) for entry in chosen)
    return [
        entry if taken[entry.folder, entry.name] == 1 else replace(entry, name=f"{entry.name}.{entry.record_id}")
        for entry in chosen
    ]


def _export(
    source: _Source,
    options: Options,
    batch: Sequence[_Chosen],
    passphrase: Secret[bytes] | None,
    *,
    check: bool,
    warn: Callable[[str], None],
) -> Iterator[_Exported]:
    ids = [entry.record_id for entry in batch]
    documents = records.by_ids(source.store, CERTIFICATES, ids)
    keys = _keys(source, ids)
    for entry in batch:
        document = documents.get(record_bytes.id_key(entry.record_id))
        if document is None:
            continue  # deleted by the live service since the list was made
        key = keys.get(record_bytes.id_key(entry.record_id))
        if options.include_keys and key is None:
            warn(f"certificate {entry.name} has no private key here (made elsewhere): files with a key are left out")
        material = Material(
            str(document.get("name") or entry.name),
            str(document.get("certificate_pem", "")),
            str(document.get("chain_pem") or ""),
            key,
        )
        content, folder = build(material, options.formats, passphrase), Path(options.dest) / entry.folder / entry.name
        yield _Exported(
            entry,
            name=material.name,
            files=[str(folder / file) for file in sorted(content)],
            fingerprint=fingerprint(material.certificate_pem),
            not_after=rfc3339(document.get("not_after")),
            has_key=key is not None,
            written=_write(folder, content, passphrase, source.service_uid, check=check),
        )


def _keys(source: _Source, ids: list[BsonValue]) -> dict[bytes, bytes]:
    """Return certificate id key -> private key PEM."""
    if source.installation is None or source.sealing is None:
        return {}
    query = {"certificate_id": {"$in": ids}}
    sealed = list(records.stream(source.store, PRIVATE_KEYS, query))
    opened = opened_records.open_documents(source.sealing, source.installation.catalogue, PRIVATE_KEYS, sealed)
    return {
        record_bytes.id_key(record.document["certificate_id"]): one.payload
        for record in opened
        for one in record.fields
        if one.steps == PRIVATE_KEY
    }


def _write(
    folder: Path, content: Document, passphrase: Secret[bytes] | None, service_uid: int | None, *, check: bool
) -> int:
    """Write the files that differ; return how many did. Raises OpsError file.*."""
    ours = (folder.parent.parent, folder.parent, folder)  # `dest`, of the project, of the certificate
    for place in ours:
        if not check:
            private_files.private_folder(place, service_uid=service_uid)
        elif not private_files.require_fit(place, service_uid=service_uid):
            return len(content)
    if not check:
        unfinished.remove_dead(folder)
    written = 0
    for name, new in content.items():
        if _is_there(folder / name, new, passphrase, service_uid):
            continue
        written += 1
        if not check:
            private_files.write_private(folder / name, new, service_uid=service_uid)
    return written


def _is_there(path: Path, new: bytes, passphrase: Secret[bytes] | None, service_uid: int | None) -> bool:
    """Return whether a file has this content already, and nobody else can read it. What cannot be read is replaced."""
    try:
        with open_trusted(path, private=True, service_uid=service_uid) as raw:
            return same(path.name, raw.read(), new, passphrase)
    except OpsError:
        return False
