# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The oracle: opens every envelope of a database without our code, and compares two installations record by record.

    python -m tests.support.oracle compare --source CONFIG SECRETS --destination CONFIG SECRETS
    python -m tests.support.oracle list --source CONFIG SECRETS

Each side is a config.yaml and a secrets.env. Keys are used through cryptography (env) or PyKCS11 (HSM). Because a
process reads SOFTHSM2_CONF once, at most one side of `compare` may be an HSM. `list` prints hashes of one side, for
sides whose HSMs are on two hosts.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import bson
from bson.codec_options import CodecOptions
from bson.raw_bson import RawBSONDocument
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from .service.config import load, secrets_of
from .service.keks import HexKek, Kek, Token
from .service.registry import BOOKKEEPING, connect

ENVELOPE_KEYS = {"wrapped_dek", "nonce", "ciphertext"}
CHANGED_BY_A_MIGRATION = {"wrapped_dek", "nonce", "ciphertext", "kek_version", "kv", "provider"}


@dataclass
class Report:
    """What a comparison found. equal: records whose content and every opened secret are the same on both sides."""

    records: int = 0
    equal: int = 0
    lost: list[str] = field(default_factory=list)
    different: list[str] = field(default_factory=list)
    extra: list[str] = field(default_factory=list)
    envelopes: int = 0
    opened: int = 0
    mistagged: list[str] = field(default_factory=list)  # the record's own kek_version is not its envelope's
    reused: list[str] = field(default_factory=list)  # wrap, nonce, ciphertext or DEK the same as at the source

    @property
    def holds(self) -> bool:
        clean = not (self.lost or self.different or self.extra or self.mistagged or self.reused)
        return clean and self.equal == self.records and self.opened == self.envelopes


class Side:
    """One installation as the oracle sees it."""

    def __init__(self, config_file: Path, secrets_file: Path) -> None:
        variables = secrets_of(secrets_file)
        self.config = load(config_file, variables)
        self.db = connect(self.config)
        self._keks: dict[int, Kek] = {version: HexKek(key) for version, key in self.config.keks.items()}
        if self.config.provider == "pkcs11":
            with _in_the_environment(variables):
                token = Token(self.config)
            for row in self.db.kek_versions.find({"key.id": {"$exists": True}, "state": {"$ne": "destroyed"}}):
                self._keks[row["_id"]] = token.kek(bytes.fromhex(row["key"]["id"]))

    def collections(self) -> list[str]:
        return sorted(set(self.db.list_collection_names()) - BOOKKEEPING)

    def open(self, record_id: Any, path: str, envelope: dict[str, Any]) -> bytes:
        """Return the payload. Raises an exception when it does not open or belongs to the other provider."""
        if envelope["provider"] != self.config.provider or envelope["kv"] != envelope["kek_version"]:
            raise ValueError(f"{record_id}.{path}: provider {envelope['provider']}, tags disagree or foreign")
        context = hashlib.sha256((str(record_id) + path).encode()).digest()
        cipher = AESGCM(self.dek(record_id, path, envelope))
        return cipher.decrypt(bytes(envelope["nonce"]), bytes(envelope["ciphertext"]), context)

    def dek(self, record_id: Any, path: str, envelope: dict[str, Any]) -> bytes:
        aad = hashlib.sha256((str(record_id) + path).encode()).digest()
        return self._keks[envelope["kek_version"]].unwrap(bytes(envelope["wrapped_dek"]), aad)


def envelopes_in(value: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield (dotted path, envelope) wherever a document holds one, array positions left out of the path."""
    if isinstance(value, dict):
        if value.keys() >= ENVELOPE_KEYS:
            yield ".".join(path), value
            return
        for key, child in value.items():
            yield from envelopes_in(child, (*path, key))
    elif isinstance(value, list):
        for child in value:
            yield from envelopes_in(child, path)


def compare(source: Side, destination: Side) -> Report:
    """Return the comparison of all records of two installations."""
    report = Report()
    for name in sorted({*source.collections(), *destination.collections()}):
        there = {bson.encode({"_id": d["_id"]}): d for d in destination.db[name].find()}
        for document in source.db[name].find():
            report.records += 1
            place = f"{name}/{document['_id']}"
            twin = there.pop(bson.encode({"_id": document["_id"]}), None)
            if twin is None:
                report.lost.append(place)
            elif _same(source, destination, document, twin, place, report):
                report.equal += 1
            else:
                report.different.append(place)
        report.extra += [f"{name}/{document['_id']}" for document in there.values()]
    return report


def listed(side: Side) -> dict[str, list[list[str]]]:
    """Return place -> [hash of what must stay, hashes of what must be new]: content and secrets, keys and nonces."""
    found = {}
    for name in side.collections():
        for document in side.db[name].find():
            stays, fresh = [bson.encode(_bare(document))], []
            for path, sealed in envelopes_in(document):
                stays.append(side.open(document["_id"], path, sealed))
                fresh += [side.dek(document["_id"], path, sealed), *(bytes(sealed[key]) for key in ENVELOPE_KEYS)]
            whole = b"".join(len(part).to_bytes(8, "big") + part for part in stays)
            found[f"{name}/{document['_id']}"] = [[hashlib.sha256(part).hexdigest() for part in parts]
                                                  for parts in ([whole], fresh)]  # fmt: skip
    return found


def digest(db: Any) -> str:
    """Return SHA-256 over every document of every collection but locks and heartbeats, as the server holds it."""
    whole = hashlib.sha256()
    raw = CodecOptions(document_class=RawBSONDocument)
    for name in sorted(set(db.list_collection_names()) - {"locks", "process_heartbeats"}):
        whole.update(name.encode())
        for document in db.get_collection(name, codec_options=raw).find().sort("_id", 1):
            whole.update(document.raw)
    return whole.hexdigest()


def _same(source: Side, destination: Side, one: Any, other: Any, place: str, report: Report) -> bool:
    if bson.encode(_bare(one)) != bson.encode(_bare(other)):
        return False
    pairs = list(zip(envelopes_in(one), envelopes_in(other), strict=True))
    for (path, sealed), (_path, twin) in pairs:
        report.envelopes += 1
        try:
            payloads = source.open(one["_id"], path, sealed), destination.open(other["_id"], path, twin)
        except Exception:  # noqa: BLE001 - whatever it is, this envelope did not open
            return False
        report.opened += 1
        if payloads[0] != payloads[1]:
            return False
        if other.get("kek_version") != twin["kek_version"]:
            report.mistagged.append(f"{place}.{path}")
        deks = source.dek(one["_id"], path, sealed), destination.dek(other["_id"], path, twin)
        if deks[0] == deks[1] or any(sealed[key] == twin[key] for key in ENVELOPE_KEYS):
            report.reused.append(f"{place}.{path}")
    return True


def _bare(value: Any) -> Any:
    """Return a document without what a migration must change."""
    if isinstance(value, dict):
        sealed = value.keys() >= ENVELOPE_KEYS
        dropped = CHANGED_BY_A_MIGRATION if sealed else {"kek_version"}
        return {key: _bare(child) for key, child in value.items() if key not in dropped}
    return [_bare(child) for child in value] if isinstance(value, list) else value


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("command", choices=["compare", "list"])
    for side in ("--source", "--destination"):
        parser.add_argument(side, nargs=2, type=Path, metavar=("CONFIG", "SECRETS"), required=side == "--source")
    arguments = parser.parse_args()
    if arguments.command == "list":
        print(json.dumps(listed(Side(*arguments.source))))
        return
    report = compare(Side(*arguments.source), Side(*arguments.destination))
    print(json.dumps({**asdict(report), "holds": report.holds}))
    raise SystemExit(0 if report.holds else 1)


@contextmanager
def _in_the_environment(variables: Mapping[str, str]) -> Iterator[None]:
    """Give a device's library the variables that it reads when it is opened, and put back what was there."""
    known = dict(os.environ)
    os.environ.update(variables)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(known)


if __name__ == "__main__":
    main()
