# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The forms that mongodump writes, written from their description by code that shares nothing with the collection's.

Source: mongo-tools, common/archive/spec.md; MongoDB manual, "mongodump". The tools are not to be had everywhere: this
says what we take their output to be; tests/integration/verbs/test_real_mongo_tools.py asks them where they are on PATH.
"""

from __future__ import annotations

import gzip
import struct
from pathlib import Path
from typing import Any
from urllib.parse import quote

import bson
from bson import json_util
from bson.codec_options import CodecOptions
from bson.raw_bson import RawBSONDocument

RAW: Any = CodecOptions(document_class=RawBSONDocument)
MAGIC = bytes.fromhex("6de29981")
TERMINATOR = b"\xff\xff\xff\xff"


def raws(db: Any, name: str) -> list[bytes]:
    """Return the documents of a collection as the server holds them, in the order in which it keeps them."""
    return [bytes(document.raw) for document in db.get_collection(name, codec_options=RAW).find()]


def everything(db: Any) -> dict[str, list[bytes]]:
    """Return every document of a database as bytes, by collection, in no order that matters."""
    return {entry["name"]: sorted(raws(db, entry["name"])) for entry in db.list_collections() if is_kept(entry)}


def is_kept(entry: Any) -> bool:
    return entry.get("type", "collection") == "collection" and "timeseries" not in entry.get("options", {})


def metadata_of(db: Any, entry: Any) -> str:
    told: dict[str, Any] = {"indexes": [], "uuid": "00" * 16, "collectionName": entry["name"]}
    told["options"] = entry.get("options", {})
    told["type"] = "timeseries" if "timeseries" in told["options"] else entry.get("type", "collection")
    if is_kept(entry):
        told["indexes"] = [dict(index) for index in db[entry["name"]].list_indexes()]
    return json_util.dumps(told, json_options=json_util.CANONICAL_JSON_OPTIONS)


def write_folder(db: Any, folder: Path, *, packed: bool = False) -> Path:
    """Write `folder/<database>/…` as `mongodump --out folder` does, or with --gzip; return the folder."""
    inside, behind = folder / db.name, ".gz" if packed else ""
    inside.mkdir(parents=True)
    for entry in db.list_collections():
        name = quote(entry["name"], safe="")
        _put(inside / f"{name}.metadata.json{behind}", metadata_of(db, entry).encode(), packed=packed)
        if is_kept(entry):
            _put(inside / f"{name}.bson{behind}", b"".join(raws(db, entry["name"])), packed=packed)
    _put(folder / f"prelude.json{behind}", b'{"ServerVersion":"8.0.0","ToolVersion":"100.13.0"}', packed=packed)
    return folder


def _put(path: Path, content: bytes, *, packed: bool) -> None:
    path.write_bytes(gzip.compress(content) if packed else content)


def write_archive(db: Any, path: Path, *, packed: bool = False, slice_of: int = 3) -> Path:
    """Write what `mongodump --archive` does, its collections taking turns after each `slice_of` documents."""
    entries = list(db.list_collections())
    content = archive(db.name, {entry["name"]: metadata_of(db, entry) for entry in entries},
                      {entry["name"]: raws(db, entry["name"]) if is_kept(entry) else [] for entry in entries},
                      slice_of=slice_of)  # fmt: skip
    path.write_bytes(gzip.compress(content) if packed else content)
    return path


def archive(database: str, metadata: dict[str, str], documents: dict[str, list[bytes]], *, slice_of: int = 3) -> bytes:
    """Return an archive of one database."""
    header = {"concurrent_collections": bson.int64.Int64(4), "version": "0.1", "server_version": "8.0.0"}
    parts = [MAGIC, bson.encode({**header, "concurrent_collections": 4, "tool_version": "100.13.0"})]
    for name, text in metadata.items():
        parts.append(bson.encode({"db": database, "collection": name, "metadata": text, "size": 0, "type": ""}))
    parts.append(TERMINATOR)
    turns = {
        name: [some[at : at + slice_of] for at in range(0, len(some), slice_of)] for name, some in documents.items()
    }
    while turns:
        for name in list(turns):
            if turns[name]:
                parts += [segment(database, name), *turns[name].pop(0), TERMINATOR]
            else:
                parts += [segment(database, name, crc=crc64(b"".join(documents[name]))), TERMINATOR]
                del turns[name]
    return b"".join(parts)


def segment(database: str, name: str, crc: int | None = None) -> bytes:
    """Return the header of a segment; with a CRC that of the end of a collection."""
    signed = struct.unpack("<q", struct.pack("<Q", crc or 0))[0]
    told = {"db": database, "collection": name, "EOF": crc is not None, "CRC": bson.int64.Int64(signed)}
    return bson.encode(told)


def crc64(content: bytes) -> int:
    """Return the CRC-64 of the .xz format, bit by bit as ECMA-182 has it, bits reversed."""
    state = 2**64 - 1
    for byte in content:
        state ^= byte
        for _bit in range(8):
            state = (state >> 1) ^ (0xC96C5795D7870F42 if state & 1 else 0)
    return state ^ (2**64 - 1)
