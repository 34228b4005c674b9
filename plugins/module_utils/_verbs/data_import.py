# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Verb data_import: a bundle's records sealed under the destination's KEK, then proven equal one by one.

1. The bundle is checked whole.
2. The destination is checked: it is not the source, and nothing is in it that is not the source's.
3. Bundle and destination are walked side by side, and what differs is written.
4. What the source no longer has is removed.
5. Carried secrets are written where they are missing.
6. Every record is opened again and compared. A walk that found everything equal is this proof already.

Kill it anywhere and run it again: what is equal is left alone.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from .._domain import envelope_layout as layouts
from .._domain.catalogue import Catalogue
from .._domain.errors import OpsError
from .._domain.listing import listed
from .._domain.manifest import Manifest
from .._domain.result import Result
from .._domain.secret import Secret
from .._domain.settings import Settings
from .._domain.values import Document, JsonObject
from .._installation import equality, lockstep, opened_records
from .._installation.checked_bundle import Bundle, checked
from .._installation.equality import Proof
from .._installation.installation import Installation, open_installation
from .._installation.layout_detection import note_layout
from .._installation.lockstep import Pair
from .._installation.sealing import Sealing
from .._store import imports, journal, keystore, leases, private_files, records
from .._store.connection import Store
from .._store.imports import ImportState
from .._store.leases import Lease

LEASE_NAME = "kek-import"
LEASE_S = 30
DELETE_BATCH = 500  # ids
COMPARE = ("compare", "verify")  # verify: the name of release 0.1


@dataclass(frozen=True, slots=True)
class Options:
    """src: the bundle's folder. identity_file: age identity, 0600. mode: "import", or of COMPARE: writes nothing."""

    src: str
    identity_file: str
    mode: str = "import"


@dataclass(frozen=True, slots=True)
class _Destination:
    """Where a bundle goes: the installation, how it seals, the bundle itself, and how far its import has come.

    state: of ImportState, "" where this source's import never began.
    """

    installation: Installation
    sealing: Sealing
    bundle: Bundle
    state: str

    @property
    def store(self) -> Store:
        return self.installation.store

    @property
    def source(self) -> str:
        return self.bundle.manifest["source"]["install_id"]


@dataclass(slots=True)
class _Written:
    """What a walk wrote or, in check mode, would write. found: how the destination was before."""

    imported: int = 0
    updated: int = 0
    deleted: int = 0
    found: Proof = field(default_factory=Proof)

    @property
    def any(self) -> bool:
        return bool(self.imported or self.updated or self.deleted)

    def as_result(self) -> JsonObject:
        return {
            "imported": self.imported,
            "updated": self.updated,
            "unchanged": self.found.equal,
            "deleted": self.deleted,
        }


def run(settings: Settings, options: Options, *, check: bool, warn: Callable[[str], None]) -> Result:
    """Import or compare. Raises OpsError bundle.*, manifest.*, destination.*, import.*, record.unreadable."""
    bundle = checked(Path(options.src), Path(options.identity_file))  # 1
    with open_installation(settings) as opened:
        installation = Installation(
            opened.store, opened.lock, opened.keystore, opened.provider, _catalogue(settings, bundle.manifest)
        )
        destination = _checked(installation, bundle)  # 2
        if options.mode in COMPARE:
            return _compared(destination)
        if destination.state == ImportState.ACCEPTED:
            raise imports.accepted(destination.source)
        if check:
            return _result(bundle, _transfer(destination, None), None, carried=False)
        with leases.holding(opened.store, LEASE_NAME, lease_s=LEASE_S, wait_s=LEASE_S + 5) as lease:
            # WHY again: another run may have imported, or somebody accepted, while this one waited for the lease.
            return _import(_checked(installation, bundle), lease, carry=lambda: _carry(settings, bundle, warn))


def _catalogue(settings: Settings, manifest: Manifest) -> Catalogue:
    """Return the source's catalogue with the destination's own additions."""
    merged: dict[str, tuple[str, ...]] = {name: tuple(paths) for name, paths in manifest["catalogue"].items()}
    for name, paths in settings.catalogue.items():
        merged[name] = (*merged.get(name, ()), *paths)
    return Catalogue(merged)


def _checked(installation: Installation, bundle: Bundle) -> _Destination:
    """Return the destination. Raises OpsError destination.is_source, .no_active_version, .not_empty."""
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
    begun = {entry.source_install_id: str(entry.state) for entry in imports.read_all(installation.store)}
    foreign = sorted(set(begun) - {source})
    names = [] if source in begun else records.collections_with_records(installation.store)
    if foreign or names:
        raise OpsError(
            f'database "{installation.store.name}" holds records'
            + (f" imported from {', '.join(foreign)}" if foreign else f" in {listed(names)}")
            + ", expected an empty one",
            code="destination.not_empty",
            hint="import into a fresh database; nothing was written",
        )
    sealing = Sealing(installation.provider, layouts.by_name(bundle.manifest["layout"]))
    return _Destination(installation, sealing, bundle, begun.get(source, ""))


def _compared(destination: _Destination) -> Result:
    proof = equality.prove(destination.installation, destination.sealing, destination.bundle)
    if not proof.holds:
        raise proof.refusal()
    facts = {"records": proof.records, "equal": proof.equal}
    manifest = {**_about(destination.bundle), **proof.as_result()}
    return Result(changed=False, values={"manifest": manifest}, before=facts, after=facts)


def _import(destination: _Destination, lease: Lease, *, carry: Callable[[], bool]) -> Result:
    manifest, store, source = destination.bundle.manifest, destination.store, destination.source
    if destination.state != ImportState.PROVEN:
        _begin(destination)
    written = _transfer(destination, lease)  # 3, 4
    carried = carry()  # 5
    proof = written.found
    if not proof.holds:
        proof = equality.prove(destination.installation, destination.sealing, destination.bundle)  # 6
    if not proof.holds:
        raise proof.refusal()
    newly_proven = written.any or destination.state != ImportState.PROVEN
    if newly_proven:
        imports.advance(store, source, leaves=ImportState.IMPORTING, enters=ImportState.PROVEN)
        note_layout(store, destination.sealing.layout)
        facts = {"source": source, "bundle": manifest["bundle_id"], "records": proof.records, "equal": proof.equal}
        counts = {"imported": written.imported, "updated": written.updated, "deleted": written.deleted}
        journal.append(store, "data_import", {**facts, **counts})
    return _result(destination.bundle, written, proof, carried=carried or newly_proven)


def _begin(destination: _Destination) -> None:
    """Mark the import as under way: from now on it is not proven. Raises OpsError import.accepted."""
    manifest = destination.bundle.manifest
    facts = {
        "bundle_id": manifest["bundle_id"],
        "records": manifest["records"],
        "layout": manifest["layout"],
        "source_provider": manifest["source"]["provider"],
        "source_digest": manifest["source_digest"],
    }
    imports.begin(destination.store, destination.source, facts)


def _transfer(destination: _Destination, lease: Lease | None) -> _Written:
    """Walk both sides once and write what differs, or only count it where there is no lease (check mode).

    WHY the import begins with the first write where a proof exists: a run that changes nothing must not take it back.
    """
    written, store = _Written(), destination.store
    begun = destination.state != ImportState.PROVEN

    def may_write() -> bool:
        nonlocal begun
        if lease is not None and not begun:
            _begin(destination)
            begun = True
        return lease is not None

    def on_pairs(collection: str, pairs: list[Pair]) -> None:
        if lease is not None:
            leases.renew(store, lease, lease_s=LEASE_S)
        equal, _failures = equality.compared(
            destination.installation, destination.sealing, destination.bundle, collection, pairs
        )
        written.found.note(collection, pairs, equal)
        new = [pair.expected for pair in pairs if pair.found is None]
        changed = [p.expected for p, same in zip(pairs, equal, strict=True) if p.found is not None and not same]
        written.imported += len(new)
        written.updated += len(changed)
        if (new or changed) and may_write():
            _write(destination, collection, new, changed)

    extra = lockstep.walk(store, destination.bundle, on_pairs)
    written.found.note_extra(extra)
    for collection, ids in extra.items():
        for start in range(0, len(ids), DELETE_BATCH):
            part = ids[start : start + DELETE_BATCH]
            written.deleted += records.delete_ids(store, collection, part) if may_write() else len(part)
    return written


def _write(destination: _Destination, collection: str, new: list[Document], changed: list[Document]) -> None:
    active = destination.installation.keystore.active
    if active is None:
        raise ValueError("checked before: a destination has an active version")
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


def _about(bundle: Bundle) -> JsonObject:
    manifest = bundle.manifest
    return {
        "bundle_id": manifest["bundle_id"],
        "source": manifest["source"],
        "layout": manifest["layout"],
        "collections": manifest["collections"],
    }


def _result(bundle: Bundle, written: _Written, proof: Proof | None, *, carried: bool) -> Result:
    outcome: JsonObject = proof.as_result() if proof else {"records": bundle.manifest["records"]}
    return Result(
        changed=written.any or carried,
        values={"manifest": {**_about(bundle), **outcome, **written.as_result()}},
        before={"equal": written.found.equal},
        after={"equal": bundle.manifest["records"]},
    )
