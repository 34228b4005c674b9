# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Verb data_import: a bundle's records sealed under the destination's KEK, then proven equal one by one.

1. The bundle is believed for a reason, and checked whole.
2. The destination is checked: it is not the source, holds nothing that is not the source's, and nothing newer.
3. Bundle and destination are walked side by side, and what differs is written.
4. What the source no longer has is removed.
5. Carried secrets are written where they are missing.
6. Every record is opened again and compared. A walk that found everything equal is this proof already.
7. The source's indexes and validators are made where they are missing.

Kill it anywhere and run it again: what is equal is left alone.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from .._domain import envelope_layout as layouts
from .._domain import gcm_budget
from .._domain.bundle_trust import BY_DIGEST, Trust, require_listed
from .._domain.catalogue import Catalogue
from .._domain.collection_metadata import differences
from .._domain.errors import OpsError
from .._domain.listing import listed
from .._domain.manifest import Manifest
from .._domain.result import Result
from .._domain.secret import Secret
from .._domain.settings import Settings
from .._domain.values import JsonObject
from .._domain.what_travels import CARRIED
from .._installation import equality, import_base, proven_index
from .._installation.checked_bundle import Bundle, checked
from .._installation.import_steps import Work, records_after, transferred, whole_proof
from .._installation.import_turn import LEASE_NAME, LEASE_S, MadeMetadata, Turn
from .._installation.installation import Installation, open_installation
from .._installation.layout_detection import note_layout
from .._installation.sealing import Sealing
from .._installation.transfer import Destination, Written, transfer
from .._store import collection_metadata, imports, journal, keystore, leases, private_files, records
from .._store.imports import ImportState
from .._store.record_index import Index

COMPARE = ("compare", "verify")  # verify: the name of release 0.1


@dataclass(frozen=True, slots=True)
class Options:
    """src: the bundle's folder. identity_file: age identity, 0600. mode: "import", or of COMPARE: writes nothing.

    manifest_sha256: as data_export returned it. sender_public_key: in PEM, of who signed the bundle. trust: why the
    bundle is believed, BY_DIGEST or AS_IT_IS. carry: names of secrets that may come with it. allow_older: a bundle may
    be older than the one that is here. base: folder of the bundle on top of which a bundle of changes is imported.
    """

    src: str
    identity_file: str
    mode: str = "import"
    manifest_sha256: str | None = None
    sender_public_key: str | None = None
    trust: str = BY_DIGEST
    carry: tuple[str, ...] = CARRIED
    allow_older: bool = False
    base: str | None = None


def run(settings: Settings, options: Options, *, check: bool, warn: Callable[[str], None]) -> Result:
    """Import or compare. Raises OpsError bundle.*, manifest.*, carry.*, destination.*, import.*, record.unreadable."""
    trust = Trust(options.trust, options.manifest_sha256 or "", options.sender_public_key or "")
    uid = settings.service_uid
    with (
        checked(Path(options.src), Path(options.identity_file), trust, service_uid=uid) as bundle,  # 1
        open_installation(settings) as opened,
        import_base.opened(options.base, bundle, service_uid=uid) as index,
    ):
        require_listed(bundle.carried, options.carry)
        trust.require_layout(layouts.by_name(bundle.manifest["layout"]))
        installation = Installation(
            opened.store, opened.lock, opened.keystore, opened.provider, _catalogue(settings, bundle.manifest)
        )
        older = options.allow_older or options.mode in COMPARE
        destination = _checked(installation, bundle, allow_older=older)  # 2
        missing, different = differences(bundle.metadata, collection_metadata.read_all(opened.store))
        if options.mode in COMPARE:
            found = MadeMetadata([], missing, different)
            found.say(warn)
            return _compared(destination, index, found, check=check)
        if destination.state == ImportState.ACCEPTED:
            raise imports.accepted(destination.source)
        if destination.state == "":
            _require_budget(destination, warn)
        if check:
            made, planned = MadeMetadata(missing, [], different), transfer(destination, lambda: False)
            return _result(bundle, planned, {"records": records_after(destination, planned)}, made, carried=False)
        lease = leases.acquire_within(opened.store, LEASE_NAME, lease_s=LEASE_S, wait_s=LEASE_S + 5)
        with leases.kept(opened.store, lease, lease_s=LEASE_S) as keeper:
            # WHY again: another run may have imported, or somebody accepted, while this one waited for the lease.
            destination = _checked(installation, bundle, allow_older=older)
            planned = transfer(destination, lambda: False) if bundle.is_of_changes else Written()
            turn = Turn(destination, lease, keeper, records=records_after(destination, planned))
            with proven_index.beside(
                Path(options.src), destination.store, destination.bundle_id, service_uid=uid, warn=warn
            ) as proven:
                work = Work(destination, turn, index, None if bundle.is_of_changes else proven, planned)
                return _import(work, missing, carry=lambda: _carry(settings, bundle, warn), warn=warn)


def _catalogue(settings: Settings, manifest: Manifest) -> Catalogue:
    """Return the source's catalogue with the destination's own additions."""
    merged: dict[str, tuple[str, ...]] = {name: tuple(paths) for name, paths in manifest["catalogue"].items()}
    for name, paths in settings.catalogue.items():
        merged[name] = (*merged.get(name, ()), *paths)
    return Catalogue(merged)


def _checked(installation: Installation, bundle: Bundle, *, allow_older: bool) -> Destination:
    """Return the destination. Raises OpsError destination.is_source, .no_active_version, .not_empty, import.older."""
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
    begun = {entry.source_install_id: entry for entry in imports.read_all(installation.store)}
    mine = begun.get(source)
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
    import_base.require_proven(mine, bundle)
    imports.require_made_by_now(installation.store, bundle.manifest["created_at"])
    if not allow_older:
        imports.require_not_older(mine, bundle.manifest["created_at"], bundle.manifest["bundle_id"])
    sealing = Sealing(installation.provider, layouts.by_name(bundle.manifest["layout"]))
    return Destination(installation, sealing, bundle, mine, installation.keystore.active.version)


def _compared(destination: Destination, index: Index | None, metadata: MadeMetadata, *, check: bool) -> Result:
    proof = equality.prove(destination.installation, destination.sealing, destination.bundle)
    if not proof.holds:
        raise proof.refusal()
    outcome = whole_proof(destination, index, proof, records_after(destination, Written()), check=check)
    facts = {"records": outcome["records"], "equal": outcome["equal"]}
    manifest = {**_about(destination.bundle), **outcome, "metadata": metadata.as_result()}
    return Result(changed=False, values={"manifest": manifest}, before=facts, after=facts)


def _import(
    work: Work, missing: list[str], *, carry: Callable[[], bool], warn: Callable[[str], None]
) -> Result:  # fmt: skip
    destination, turn = work.destination, work.turn
    manifest, store, source = destination.bundle.manifest, destination.store, destination.source
    if destination.state != ImportState.PROVEN:
        turn.begin()
    written = transferred(work)  # 3, 4
    carried = carry()  # 5
    proof = written.found
    if not proof.holds:
        note = work.begin_index()
        proof = equality.prove(destination.installation, destination.sealing, destination.bundle, note)  # 6
    if not proof.holds:
        raise proof.refusal()
    outcome = whole_proof(destination, work.index, proof, turn.records, check=False)
    _require_same_version(destination)
    metadata = turn.make_metadata(missing)  # 7
    metadata.say(warn)
    newly_proven = written.any or destination.state != ImportState.PROVEN
    # WHY not one that holds nothing: the base is imported again by the next migration, and must not count as older.
    newer = not newly_proven and not destination.bundle.is_empty and turn.note_bundle()
    if newly_proven:
        turn.proven()
        note_layout(store, destination.sealing.layout)
        facts = {"source": source, "bundle": manifest["bundle_id"], "records": turn.records, "opened": proof.records}
        counts = {"imported": written.imported, "updated": written.updated, "deleted": written.deleted}
        declared = destination.installation.catalogue.no_envelopes
        journal.append(store, "data_import", {**facts, **counts}, no_envelopes=declared)
    if work.proven is not None:
        work.proven.put()
    return _result(destination.bundle, written, outcome, metadata, carried=carried or newly_proven or newer)


def _require_budget(destination: Destination, warn: Callable[[str], None]) -> None:
    """Raises OpsError budget.exhausted before anything is written, if all of a first bundle's wraps are too many.

    Of later ones it is not known beforehand what differs: `keystore.spend` refuses before each wrap (X15).
    """
    row = destination.installation.keystore.rows.get(destination.version)
    planned = sum(destination.bundle.manifest["sealed"].values())
    warning = gcm_budget.judge(destination.version, row.invocations if row else 0, planned)
    if warning:
        warn(warning)


def _require_same_version(destination: Destination) -> None:
    """Raises OpsError import.version_moved when the destination was rotated while records were sealed (X15)."""
    active = keystore.read(destination.store).active
    if active is None or active.version != destination.version:
        raise OpsError(
            f"records were sealed under KEK version {destination.version}, and version "
            f"{'none' if active is None else active.version} became active meanwhile",
            code="import.version_moved",
            hint="run kek_rotate to the active version, then data_import again; nothing is lost",
            retryable=False,
        )


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
    if settings.secrets_file is None:
        return False
    # The file is read again there: another run may have written to it while this one waited for the lease (X22).
    return private_files.append_assignments(Path(settings.secrets_file), missing, service_uid=settings.service_uid)


def _about(bundle: Bundle) -> JsonObject:
    manifest = bundle.manifest
    return {
        "bundle_id": manifest["bundle_id"],
        "base": manifest["base"],
        "found_by": manifest["found_by"],
        "source": manifest["source"],
        "layout": manifest["layout"],
        "collections": manifest["collections"],
    }


def _result(bundle: Bundle, written: Written, outcome: JsonObject, metadata: MadeMetadata, *, carried: bool) -> Result:
    return Result(
        changed=written.any or carried or bool(metadata.made),
        values={"manifest": {**_about(bundle), **outcome, **written.as_result(), "metadata": metadata.as_result()}},
        before={"equal": written.found.equal},
        after={"equal": outcome["records"]},
    )
