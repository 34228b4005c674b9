# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Verb cert_export: certificates and, when asked, their keys as files, untouched when they are the same.

The KEK is loaded only when keys are asked for. A key never enters a result. What cannot be exported keeps nothing else
back, is listed, and makes the run fail at its end. ADR-0040.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from .._api.certificates_of_api import ApiCertificates
from .._api.client import ApiClient
from .._domain.api_answers import place_of, require_key
from .._domain.certificate_files import ALIASES, FORMATS, KEY_BEARING, PKCS12
from .._domain.certificate_filter import filter_of
from .._domain.certificate_source import CertificateSource
from .._domain.errors import OpsError
from .._domain.export_index import INDEX, WRITTEN, Entry, counts
from .._domain.listing import LISTED_AT_MOST, listed
from .._domain.result import Result
from .._domain.secret import Secret
from .._domain.settings import Settings
from .._domain.values import JsonObject
from .._installation import survey as surveys
from .._installation.certificate_choice import Chosen, Request
from .._installation.certificate_export import Export, Outcome
from .._installation.certificates_of_database import DatabaseCertificates, Keys
from .._installation.installation import open_database, open_installation
from .._installation.layout_detection import remembered_layout
from .._installation.sealing import Sealing
from .._store import age_keys, journal, private_files
from .._store.connection import Store
from .._store.export_folder import ExportFolder, access_of

VERB, OVERRIDDEN = "cert_export", "overridden"


@dataclass(frozen=True, slots=True)
class Options:
    """projects: ids, slugs or names. names: certificate names, common names or ids. Empty filters choose everything.

    api_url: of the service; None reads the database. owner, group, mode: of files. recipients: age public keys to which
    files with a key are encrypted.
    """

    dest: str
    formats: tuple[str, ...] = ("cert.pem", "chain.pem", "fullchain.pem")
    api_url: str | None = None
    api_key_file: str | None = None
    api_ca_file: str | None = None
    projects: tuple[str, ...] = ()
    names: tuple[str, ...] = ()
    ids: tuple[str, ...] = ()
    serials: tuple[str, ...] = ()
    issuers: tuple[str, ...] = ()
    statuses: tuple[str, ...] = ()
    expires_after: str | None = None
    expires_before: str | None = None
    include_keys: bool = False
    override_key_export_policy: bool = False
    passphrase_file: str | None = None
    recipients: tuple[str, ...] = ()
    owner: str | None = None
    group: str | None = None
    mode: object = "0600"


def run(settings: Settings, options: Options, *, check: bool, warn: Callable[[str], None]) -> Result:
    """Export. Raises OpsError export.*, file.*, and what the source raises; export.incomplete at the end."""
    request = _request(settings, options)
    access = access_of(options.owner, options.group, options.mode, with_keys=options.include_keys)
    dest = Path(options.dest)
    folder = ExportFolder(dest, access, check=check, service_uid=settings.service_uid)
    with _opened(settings, options, warn) as (source, note_override):
        export = Export(source, folder, request, check=check, before_override=note_override)
        outcome = export.run(warn)
    _warn(outcome, warn)
    return _result(outcome, dest)


def _request(settings: Settings, options: Options) -> Request:
    """Return what is asked for. Raises OpsError export.*, file.*, passphrase.empty, bundle.recipient_invalid."""
    _require_sense(options)
    now = datetime.now(UTC)
    return Request(
        formats=tuple(dict.fromkeys(ALIASES.get(name, name) for name in options.formats)),
        projects=frozenset(options.projects),
        filter=filter_of(
            names=options.names, ids=options.ids, serials=options.serials, issuers=options.issuers,
            statuses=options.statuses, after=options.expires_after, before=options.expires_before, now=now,
        ),
        chosen_by=_filters_as_text(options),
        include_keys=options.include_keys,
        now=now,
        passphrase=_passphrase(settings, options),
        recipients=tuple(sorted(options.recipients)),
        recipient_keys=age_keys.recipients_from(options.recipients) if options.recipients else (),
    )  # fmt: skip


def _filters_as_text(options: Options) -> str:
    """Return the filters as the index keeps them: "" for none, else JSON with those that are given."""
    names = ("projects", "names", "ids", "serials", "issuers", "statuses", "expires_after", "expires_before")
    given = {name: value for name in names if (value := getattr(options, name))}
    shown = {name: sorted(value) if isinstance(value, tuple) else value for name, value in given.items()}
    return json.dumps(shown, sort_keys=True) if shown else ""


def _passphrase(settings: Settings, options: Options) -> Secret[bytes] | None:
    """Return the passphrase. Raises OpsError file.*, passphrase.empty."""
    if options.passphrase_file is None:
        return None
    path = Path(options.passphrase_file)
    return Secret(private_files.read_private(path, empty_code="passphrase.empty", service_uid=settings.service_uid))


def _require_sense(options: Options) -> None:
    asked = {ALIASES.get(name, name) for name in options.formats}
    unknown = sorted(asked - set(FORMATS))
    if unknown or not asked:
        raise OpsError(f"formats {unknown or 'none'}", code="export.formats", hint=f"choose from {', '.join(FORMATS)}")
    bearing = sorted(KEY_BEARING & asked)
    if bearing and not options.include_keys:
        raise OpsError(
            f"{', '.join(bearing)} hold private keys",
            code="export.keys_not_allowed",
            hint="set `include_keys: true` if that is meant",
        )
    if (options.api_url is None) != (options.api_key_file is None):
        raise OpsError(
            "api_url and api_key_file are given one without the other",
            code="export.api_options",
            hint="give both for the service's API, none for the database",
        )
    if options.api_url is not None and options.override_key_export_policy:
        raise OpsError(
            "the service itself heeds its certificate policy, which cannot be overridden by its API",
            code="export.api_options",
            hint="allow key export in the product, or leave `override_key_export_policy` out",
        )
    if PKCS12 in asked and options.passphrase_file is None:
        raise OpsError(
            f"{PKCS12} needs a passphrase",
            code="export.passphrase_missing",
            hint="give `passphrase_file`, a 0600 file",
        )


@contextmanager
def _opened(
    settings: Settings, options: Options, warn: Callable[[str], None]
) -> Iterator[tuple[CertificateSource, Callable[[Sequence[Chosen]], None]]]:
    """Yield (the source, what notes that a policy is overridden)."""
    if options.api_url is not None:
        with _api(settings, options, options.api_url) as source:
            yield source, _nothing_to_note
        return
    if not options.include_keys:
        with open_database(settings) as store:
            yield DatabaseCertificates(store, None), _nothing_to_note
        return
    with open_installation(settings) as installation:
        store, provider, catalogue = installation.store, installation.provider, installation.catalogue
        layout = remembered_layout(store, provider, surveys.sample_of(store, catalogue), warn=warn, note=False)
        keys = Keys(catalogue, Sealing(provider, layout), options.override_key_export_policy)
        yield DatabaseCertificates(store, keys), lambda chosen: _note_override(store, options, chosen)


@contextmanager
def _api(settings: Settings, options: Options, url: str) -> Iterator[ApiCertificates]:
    """Yield the road by the service's API. Raises OpsError api.*, file.*."""
    place = place_of(url)
    text = private_files.read_private_text(
        Path(str(options.api_key_file)), empty_code="api.key_invalid", service_uid=settings.service_uid
    )
    client = ApiClient(place, Secret(require_key(text)), ca_file=options.api_ca_file)
    try:
        yield ApiCertificates(client, f"the service at {place.scheme}://{place.named}")
    finally:
        client.close()


def _nothing_to_note(_chosen: Sequence[Chosen]) -> None:
    pass


def _note_override(store: Store, options: Options, chosen: Sequence[Chosen]) -> None:
    """Note in the journal that keys leave against the policy. Raises OpsError where it cannot be noted (X93)."""
    projects = sorted({one.listed.project.id for one in chosen})
    facts = {
        "key_export_policy": OVERRIDDEN,
        "host": os.uname().nodename,
        "dest": options.dest,
        "formats": list(options.formats),
        "encrypted": bool(options.recipients),
        "certificates": len(chosen),
        "projects": projects[:LISTED_AT_MOST],
    }
    journal.append(store, VERB, facts)


def _warn(outcome: Outcome, warn: Callable[[str], None]) -> None:
    if outcome.keyless:
        warn(f"{listed(outcome.keyless)}: no private key here (made elsewhere): files with a key are left out")
    expired = [entry.folder for entry in outcome.entries if entry.chain.endswith("expired")]
    if expired:
        warn(f"{listed(expired)}: a certificate of the chain is not valid now")
    if outcome.gone:
        warn(f"{listed(outcome.gone)}: the project is gone; the certificates in it are exported all the same")


def _result(outcome: Outcome, dest: Path) -> Result:
    """Return what was done. Raises OpsError export.incomplete where not all of it could be."""
    found, entries = counts(outcome.entries), outcome.entries
    values: JsonObject = {
        "certificates": [_shown(entry, dest) for entry in entries[:LISTED_AT_MOST]],
        "counts": found,
        "removed": outcome.removed,
        "index": str(dest / INDEX),
    }
    if outcome.missed or found[WRITTEN] != len(entries):
        raise _incomplete(outcome, values)
    facts = {"certificates": len(entries), "files": outcome.files}
    return Result(
        changed=outcome.changed,
        values=values,
        before={**facts, "current": outcome.files - outcome.written, "stale": outcome.removed},
        after={**facts, "current": outcome.files, "stale": 0},
    )


def _incomplete(outcome: Outcome, values: JsonObject) -> OpsError:
    """Return the failure that lists what could not be exported, with the result of all the rest."""
    bad = [f"{entry.folder} ({entry.problems[0].reason})" for entry in outcome.entries if entry.problems]
    failures = [
        {"id": entry.id, "project": entry.project, "name": entry.name, "code": problem.code, "reason": problem.reason}
        for entry in outcome.entries
        for problem in entry.problems
    ]
    failures += [
        {"id": "", "project": "", "name": "", "code": one.code, "reason": one.reason} for one in outcome.missed
    ]
    return OpsError(
        f"{len(bad)} of {len(outcome.entries)} certificates are not wholly exported: "
        f"{listed([*bad, *(one.reason for one in outcome.missed)])}",
        code="export.incomplete",
        hint="everything else is written; fix what `failures` and index.json list, then run it again",
        changed=outcome.changed,
        failures=failures[:LISTED_AT_MOST],
        certificates=values["certificates"],
        counts=values["counts"],
        removed=values["removed"],
        index=values["index"],
    )


def _shown(entry: Entry, dest: Path) -> JsonObject:
    return {
        "id": entry.id,
        "project": entry.project,
        "name": entry.name,
        "files": [str(dest / entry.folder / file) for file in sorted(entry.files)],
        "fingerprint_sha256": entry.fingerprint,
        "serial_number": entry.serial,
        "not_after": entry.not_after,
        "issuer": entry.issuer,
        "status": entry.status,
        "chain": entry.chain,
        "has_key": entry.has_key,
        "outcome": entry.outcome,
    }
