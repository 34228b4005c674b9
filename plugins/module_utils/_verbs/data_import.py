# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Verb data_import: a bundle's records sealed under the destination's KEK, then proven equal one by one.

Steps: bundle judged whole -> destination judged -> records written, only where they differ -> records the source no
longer has removed -> every record opened again and compared. Kill it anywhere and run it again: what is equal is left
alone.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .._domain import envelope_layout as layouts
from .._domain.catalogue import Catalogue
from .._domain.errors import OpsError
from .._domain.result import Result
from .._domain.secret import Secret
from .._domain.settings import Settings
from .._installation import equality, opened_records
from .._installation.checked_bundle import Bundle, judged
from .._installation.installation import Installation, open_installation
from .._installation.sealing import Sealing
from .._store import imports, journal, keystore, leases, private_files, records
from .._store.connection import Store
from .._store.driver import Document
from .._store.leases import Lease

LEASE_NAME = "kek-import"
LEASE_S = 30


@dataclass(frozen=True, slots=True)
class Options:
    """src: the bundle's folder. identity_file: age identity, 0600. mode: "import", or "verify" which writes nothing."""

    src: str
    identity_file: str
    mode: str = "import"


@dataclass(frozen=True, slots=True)
class _Destination:
    """Where a bundle goes: the installation, how it seals, and the bundle itself."""

    installation: Installation
    sealing: Sealing
    bundle: Bundle

    @property
    def store(self) -> Store:
        return self.installation.store


@dataclass(slots=True)
class _Written:
    imported: int = 0
    updated: int = 0
    unchanged: int = 0
    deleted: int = 0

    @property
    def any(self) -> bool:
        return bool(self.imported or self.updated or self.deleted)


def run(settings: Settings, options: Options, *, check: bool, warn: Callable[[str], None]) -> Result:
    """Import or verify. Raises OpsError bundle.*, manifest.*, destination.*, import.*, record.unreadable."""
    bundle = judged(Path(options.src), Path(options.identity_file))
    with open_installation(settings) as opened:
        installation = Installation(
            opened.store, opened.lock, opened.keystore, opened.provider, _catalogue(settings, bundle.manifest)
        )
        sealing = Sealing(installation.provider, layouts.by_name(bundle.manifest["layout"]))
        destination = _Destination(installation, sealing, bundle)
        state = _judge_destination(installation, bundle)
        if options.mode == "verify":
            return _verified(destination)
        _refuse_accepted(state, bundle)
        if check:
            return _result(bundle, _transfer(destination, None), None, carried=False)
        with leases.holding(opened.store, LEASE_NAME, lease_s=LEASE_S, wait_s=LEASE_S + 5) as lease:
            state = _judge_destination(installation, bundle)  # again: another import may have ended meanwhile
            _refuse_accepted(state, bundle)
            return _import(destination, state, lease, carry=lambda: _carry(settings, bundle, warn))


def _refuse_accepted(state: str, bundle: Bundle) -> None:
    if state == "accepted":
        raise imports.accepted(bundle.manifest["source"]["install_id"])


def _catalogue(settings: Settings, manifest: Mapping[str, Any]) -> Catalogue:
    """Return the source's catalogue with the destination's own additions."""
    merged: dict[str, tuple[str, ...]] = {name: tuple(paths) for name, paths in manifest["catalogue"].items()}
    for name, paths in settings.catalogue.items():
        merged[name] = (*merged.get(name, ()), *paths)
    return Catalogue(merged)


def _judge_destination(installation: Installation, bundle: Bundle) -> str:
    """Return the state of this source's import here, "" where it never began."""
    source = bundle.manifest["source"]["install_id"]
    if installation.lock.install_id == source:
        raise OpsError(
            f'database "{installation.store.name}" is the installation the bundle came from',
            code="destination.is_source",
            hint="give the settings of the new installation; nothing was written",
        )
    if installation.keystore.active is None:
        raise OpsError(
            "the destination has no active KEK version",
            code="destination.no_active_version",
            hint="run kek_pkcs11_init or kek_install_lock on it first",
        )
    standing = {entry["source_install_id"]: str(entry["state"]) for entry in imports.read_all(installation.store)}
    foreign = sorted(set(standing) - {source})
    names = [name for name in records.data_collections(installation.store) if records.count(installation.store, name)]
    if foreign or (names and source not in standing):
        raise OpsError(
            f'database "{installation.store.name}" holds records'
            + (f" imported from {', '.join(foreign)}" if foreign else f" in {', '.join(names)}")
            + ", expected an empty one",
            code="destination.not_empty",
            hint="import into a fresh database; nothing was written",
        )
    return standing.get(source, "")


def _verified(destination: _Destination) -> Result:
    proof = equality.prove(destination.installation, destination.sealing, destination.bundle)
    if not proof.holds:
        raise proof.refusal()
    facts = {"records": proof.records, "equal": proof.equal}
    manifest = {**_about(destination.bundle), **proof.as_result()}
    return Result(changed=False, values={"manifest": manifest}, before=facts, after=facts)


def _import(destination: _Destination, state: str, lease: Lease, *, carry: Callable[[], bool]) -> Result:
    manifest, store = destination.bundle.manifest, destination.store
    source = manifest["source"]["install_id"]
    # WHY count first where a proof stands: an import that would change nothing must not take the proof back.
    written = _transfer(destination, None) if state == "proven" else None
    if written is None or written.any:
        facts = {
            "bundle_id": manifest["bundle_id"],
            "records": manifest["records"],
            "layout": manifest["layout"],
            "source_provider": manifest["source"]["provider"],
            "source_digest": manifest["source_digest"],
        }
        imports.begin(store, source, facts)
        written = _transfer(destination, lease)
    carried = carry()
    proof = equality.prove(destination.installation, destination.sealing, destination.bundle)
    if not proof.holds:
        raise proof.refusal()
    if written.any or state != "proven":
        imports.advance(store, source, expected="importing", state="proven")
        counts = {"imported": written.imported, "updated": written.updated, "deleted": written.deleted}
        facts = {"source": source, "bundle": manifest["bundle_id"], "records": proof.records, "equal": proof.equal}
        journal.append(store, "data_import", {**facts, **counts})
    return _result(destination.bundle, written, proof, carried=carried or state != "proven")


def _transfer(destination: _Destination, lease: Lease | None) -> _Written:
    """Write what differs, or only count it where there is no lease (check mode)."""
    written, seen, store = _Written(), dict[str, int](), destination.store

    def on_batch(collection: str, expected: list[Document]) -> None:
        if lease is not None:
            leases.renew(store, lease, lease_s=LEASE_S)
        standing = records.by_ids(store, collection, [document["_id"] for document in expected])
        new, changed = _differences(destination, collection, expected, standing)
        written.imported += len(new)
        written.updated += len(changed)
        written.unchanged += len(expected) - len(new) - len(changed)
        seen[collection] = seen.get(collection, 0) + len(standing)
        if lease is not None:
            _write(destination, collection, new, changed)
            seen[collection] += len(new)

    destination.bundle.each_batch(on_batch)
    for collection, ids in equality.extra_ids(destination.installation, destination.bundle, seen).items():
        written.deleted += len(ids) if lease is None else records.delete_ids(store, collection, ids)
    return written


def _differences(
    destination: _Destination, collection: str, expected: list[Document], standing: dict[Any, Document]
) -> tuple[list[Document], list[Document]]:
    """Return (records the destination lacks, records it holds otherwise or cannot open)."""
    key = destination.bundle.digest_key
    catalogue = destination.installation.catalogue
    opened, _failures = opened_records.try_open(destination.sealing, catalogue, collection, list(standing.values()))
    digests = {records.id_key(d["_id"]): opened_records.digest(key, collection, d) for d in opened}
    new = [d for d in expected if records.id_key(d["_id"]) not in standing]
    changed = [
        d
        for d in expected
        if records.id_key(d["_id"]) in standing
        and digests.get(records.id_key(d["_id"])) != opened_records.digest(key, collection, d)
    ]
    return new, changed


def _write(destination: _Destination, collection: str, new: list[Document], changed: list[Document]) -> None:
    active = destination.installation.keystore.active
    if active is None:
        raise ValueError("judged before: a destination has an active version")
    wraps = sum(len(opened_records.plain_fields(document)) for document in (*new, *changed))
    if wraps:
        keystore.spend(destination.store, active.version, wraps)
    sealed = opened_records.seal_documents(destination.sealing, active.version, collection, new)
    if sealed:
        records.insert_many(destination.store, collection, sealed)
    sealed = opened_records.seal_documents(destination.sealing, active.version, collection, changed)
    records.replace_guarded(destination.store, collection, [({"_id": d["_id"]}, d) for d in sealed])


def _carry(settings: Settings, bundle: Bundle, warn: Callable[[str], None]) -> bool:
    """Write the values that travelled inside the bundle into the destination's secrets file, where they are missing.

    WHY: API keys are stored as hashes peppered by one of them; with another pepper every API key would be dead.
    """
    missing = {name: value for name, value in bundle.carried.items() if name not in settings.secrets}
    for name, value in bundle.carried.items():
        if name in settings.secrets and settings.secrets[name] != Secret(value):
            raise OpsError(
                f"{name} in the destination's secrets file differs from the source's",
                code="carry.conflict",
                hint=f"remove {name} from the destination's secrets file, or do not carry it",
            )
    if missing and settings.secrets_file is None:
        warn(f"no secrets file at the destination: {', '.join(sorted(missing))} not written")
        return False
    if missing and settings.secrets_file is not None:
        private_files.append_assignments(Path(settings.secrets_file), missing)
    return bool(missing)


def _about(bundle: Bundle) -> dict[str, Any]:
    manifest = bundle.manifest
    return {
        "bundle_id": manifest["bundle_id"],
        "source": manifest["source"],
        "layout": manifest["layout"],
        "collections": manifest["collections"],
    }


def _result(bundle: Bundle, written: _Written, proof: equality.Proof | None, *, carried: bool) -> Result:
    counts = {
        "imported": written.imported,
        "updated": written.updated,
        "unchanged": written.unchanged,
        "deleted": written.deleted,
    }
    outcome = proof.as_result() if proof else {"records": bundle.manifest["records"]}
    return Result(
        changed=written.any or carried,
        values={"manifest": {**_about(bundle), **outcome, **counts}},
        before={"equal": written.unchanged},
        after={"equal": bundle.manifest["records"]},
    )
