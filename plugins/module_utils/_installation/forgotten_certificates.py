# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Certificates at an old installation, found by what an operator calls them, their keys opened and compared with them.

 1. find: every certificate is looked at; those that are named are held.
 2. read: the key records of these are opened under the old keys; the one that fits its certificate is taken (X90).
Nothing is written anywhere.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from .._domain import envelope_layout, recovery
from .._domain.catalogue import Catalogue
from .._domain.certificate_chain import LoadedCertificate, certificates_in, leaf_first
from .._domain.certificate_filter import Filter
from .._domain.certificate_source import Listed, Problem
from .._domain.errors import OpsError
from .._domain.listing import listed as named
from .._domain.private_keys import PrivateKey, fitting
from .._domain.values import Document
from .._keys.provider import Provider
from .._store import record_bytes
from .certificate_records import CERTIFICATES, PRIVATE_KEY, PRIVATE_KEYS, listed_of, octets_of, shown
from .layout_detection import detect_layout
from .old_installation import OldInstallation
from .old_records import Placed
from .opened_records import OpenedRecord, open_raw
from .sealing import Sealing
from .survey import Survey


@dataclass(frozen=True, slots=True)
class Forgotten:
    """A certificate as the old installation has it. key: its key record, None where none is kept (made elsewhere).

    unfit: ids of key records that are of it and do not fit it.
    """

    listed: Listed
    leaf: LoadedCertificate
    certificate: OpenedRecord
    document: Document
    key: OpenedRecord | None
    unfit: tuple[str, ...] = ()


def find(old: OldInstallation, wanted: Filter, projects: frozenset[str]) -> list[tuple[Listed, bytes]]:
    """Return the certificates that are named, with their records. projects: ids, slugs or names; empty for all.

    Raises OpsError recover.not_found, recover.too_many, and what the reading raises.
    """
    found = list[tuple[Listed, bytes]]()

    def on_raw(raw: bytes) -> None:
        document = shown(raw)
        project = old.projects.of(document.get(recovery.PROJECT))
        if projects and not projects & project.names:
            return
        listed = listed_of(raw, document, project)
        if wanted.may_choose(listed) and wanted.chooses(listed.facts):
            found.append((listed, raw))
            if len(found) > recovery.AT_MOST:
                raise recovery.too_many(len(found))

    old.records.read({CERTIFICATES: on_raw})
    _require_found(old, wanted, projects, [listed for listed, _raw in found])
    return found


def read(
    old: OldInstallation, provider: Provider, catalogue: Catalogue, found: Sequence[tuple[Listed, bytes]]
) -> tuple[list[Forgotten], Sealing]:
    """Return the certificates with what belongs to them, and what opened it.

    Raises OpsError recover.no_certificate, recover.key_mismatch, record.*, catalogue.outside, LayoutUndetected.
    """
    records_of = _key_records(old, found)
    sealing = _sealing(old, provider, catalogue, [raw for raws in records_of.values() for raw in raws])
    return [_one(sealing, catalogue, listed, raw, records_of.get(listed.key, [])) for listed, raw in found], sealing


def beside(
    old: OldInstallation, documents: Iterable[Document], is_missing: Callable[[Placed], bool]
) -> list[Placed]:  # fmt: skip
    """Return the records that these refer to, and those that they refer to, as far as the destination lacks them."""
    left = {key for document in documents for one in recovery.references_in(document) for key in _forms(one)}
    seen, missing = set[bytes](), dict[tuple[str, bytes], Placed]()
    while left := left - seen:
        seen |= left
        lacking = [placed for placed in old.records.with_ids(left) if is_missing(placed)]
        missing |= {(name, record_bytes.id_key_of(raw)): (name, raw) for name, raw in lacking}
        further = [one for _name, raw in lacking for one in recovery.references_in(shown(raw))]
        left = {key for one in further for key in _forms(one)}
    return list(missing.values())


def key_in(record: OpenedRecord) -> bytes:
    """Return the private key in an opened key record, b"" where it holds none."""
    return next((one.payload for one in record.fields if one.steps == PRIVATE_KEY), b"")


def leaf_of(document: Document) -> LoadedCertificate | None:
    """Return the certificate itself in a record of one, None where there is none that can be parsed."""
    try:
        given = certificates_in(octets_of(document.get(recovery.PEM)))
    except ValueError:
        return None
    return leaf_first(given)[0] if given else None


def _forms(value: object) -> frozenset[bytes]:
    return record_bytes.id_forms(value)


def _key_records(old: OldInstallation, found: Sequence[tuple[Listed, bytes]]) -> dict[bytes, list[bytes]]:
    """Return key of a certificate -> the BSON of its key records, in the order of their ids."""
    owners = {form: listed.key for listed, _raw in found for form in _forms(record_bytes.id_of(listed.key))}
    held = dict[bytes, list[bytes]]()

    def on_raw(raw: bytes) -> None:
        owner = owners.get(record_bytes.id_key(shown(raw).get(recovery.OWNER)))
        if owner is not None:
            held.setdefault(owner, []).append(raw)

    old.records.read({PRIVATE_KEYS: on_raw})
    return {owner: sorted(raws, key=record_bytes.id_key_of) for owner, raws in held.items()}


def _sealing(old: OldInstallation, provider: Provider, catalogue: Catalogue, raws: Sequence[bytes]) -> Sealing:
    """Return provider and layout joined; the layout is seen by the envelopes that are to be opened."""
    survey = Survey()
    for raw in raws:
        survey.note_raw(catalogue, PRIVATE_KEYS, raw)
    noted = next((one for one in envelope_layout.LAYOUTS if one.name == old.layout), None)
    return Sealing(provider, detect_layout(provider, survey.sample, first=noted))


def _one(sealing: Sealing, catalogue: Catalogue, listed: Listed, raw: bytes, keys: Sequence[bytes]) -> Forgotten:
    document = record_bytes.exact_record(CERTIFICATES, raw)
    leaf = leaf_of(document)
    if leaf is None:
        raise OpsError(
            f"{recovery.place(CERTIFICATES, document['_id'])} ({listed.name}) holds no certificate"
            f"{f' (status {listed.facts.status})' if listed.facts.status else ''}, expected one in {recovery.PEM}",
            code="recover.no_certificate",
            hint="what was never issued is asked for anew in the product; name the others without it",
        )
    (certificate,) = open_raw(sealing, catalogue, CERTIFICATES, [raw])
    opened = open_raw(sealing, catalogue, PRIVATE_KEYS, keys)
    outcomes = [(record, fitting(leaf, [key_in(record)])) for record in opened]
    fit = [record for record, outcome in outcomes if isinstance(outcome, PrivateKey)]
    problems = [outcome for _record, outcome in outcomes if isinstance(outcome, Problem)]
    if not fit and problems:
        raise OpsError(
            f"{recovery.place(CERTIFICATES, document['_id'])} ({listed.name}) has no key that fits it: "
            f"{problems[0].reason}; expected that of the certificate",
            code="recover.key_mismatch",
            hint="nothing was written; export the certificate without its key by cert_export, or name the others only",
        )
    unfit = tuple(recovery.place(PRIVATE_KEYS, record.record_id) for record in opened if record not in fit[:1])
    return Forgotten(listed, leaf, certificate, document, fit[0] if fit else None, unfit)


def _require_found(old: OldInstallation, wanted: Filter, projects: frozenset[str], found: Sequence[Listed]) -> None:
    where = old.records.name
    known = {name for project in old.projects.all() for name in project.names}
    known |= {name for listed in found for name in listed.project.names}
    if missing := sorted(projects - known):
        raise recovery.not_found("project", missing, where)
    for asked, told in (
        (wanted.ids, {listed.id for listed in found}),
        (wanted.names, {name for listed in found for name in listed.aliases}),
        (wanted.serials, {serial for listed in found for serial in listed.facts.serials}),
    ):
        if missing := sorted(asked - told):
            raise recovery.not_found("certificate", missing, where)
    if not found:
        raise recovery.not_found("certificate", [f"of project {named(sorted(projects))}"], where)
