# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Rotations of a pkcs11 installation on SoftHSM2, and workers against a module whose calls take a millisecond."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from ansible_collections.certautopilot.ops.plugins.module_utils._domain import envelope_layout
from ansible_collections.certautopilot.ops.plugins.module_utils._domain.key_names import KeyReference
from ansible_collections.certautopilot.ops.plugins.module_utils._domain.pkcs11_settings import Pkcs11Settings
from ansible_collections.certautopilot.ops.plugins.module_utils._domain.secret import Secret
from ansible_collections.certautopilot.ops.plugins.module_utils._keys.pkcs11.jobs import PoolOptions
from ansible_collections.certautopilot.ops.plugins.module_utils._keys.pkcs11.provider import Pkcs11Provider
from ansible_collections.certautopilot.ops.plugins.module_utils._keys.provider import UnwrapRequest, WrapRequest
from ansible_collections.certautopilot.ops.plugins.module_utils._rotation.options import Options
from ansible_collections.certautopilot.ops.plugins.module_utils._rotation.shared_work import batch_size
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from tests.integration.site import Site
from tests.integration.token import PIN, Token
from tests.support.database import DatabaseServer
from tests.support.processes import REPOSITORY
from tests.support.sealed import credential
from tests.support.softhsm import configuration, module_path

from .cases_env import PAYLOAD, dropped, environment, rotated, second_run_rows
from .floor import COLLECTION, FIELD, Floor
from .machine import CpuClock
from .report import Goal, Row

LATENCY_S = 0.001
NOT_BUILT = "not measured: no C compiler to build the slow module"
CALLS = 3  # for one envelope: unwrap, wrap, and the unwrap that proves it
SHIM = REPOSITORY / "tests" / "support" / "hsm_shim.c"
AGAINST_FLOOR = Goal(False, 1.15, "x floor")
AGAINST_LOOPS = Goal(True, 0.95, "of bare loops")


def pkcs11_rows(server: DatabaseServer, folder: Path, sizes: Sequence[int]) -> list[Row]:
    """Return the rows of rotate_pkcs11: its time against the slower of the database and the HSM alone."""
    rows = []
    for size in sizes:
        token = _token(folder / f"token{size}")
        site = Site(folder / f"pkcs11-{size}", server.uri, server.new_name("bench"), provider="pkcs11")
        site.pkcs11 = token.settings()
        site.write()
        for version in (1, 2):
            site.call("kek_pkcs11_init", version=version)
            if version == 1:
                documents = _documents(token.settings(), _references(site), size)
                site.db[COLLECTION].insert_many(documents, ordered=False)
        floor = Floor(site.client, site.name, documents, CpuClock(server.pid))
        floor.first_half()
        wall_s, _cpu_s = rotated(site, 2, size)
        floor.second_half()
        hsm_s = _raw_hsm(token, _references(site), size)
        ratio = wall_s / max(floor.wall_s, hsm_s)
        rows += [
            Row("floor: bulk_write and one read", size, floor.wall_s),
            Row("floor: raw HSM, 3 calls each", size, hsm_s),
            Row("rotate_pkcs11", size, wall_s, ratio, AGAINST_FLOOR, doubt=floor.doubt(wall_s)),
        ]
        if size == min(sizes):
            rows += second_run_rows("pkcs11", site, size)
        dropped(site)
    return rows


def worker_rows(folder: Path, counts: Sequence[int], seconds: float) -> list[Row]:
    """Return one row for each number of workers. seconds: how long one is meant to take."""
    if not can_build():
        return [Row("workers against 1 ms a call", 0, note=NOT_BUILT)]
    with slow_token(folder / "workers") as (token, settings):
        references = {}
        for version in (1, 2):
            references[version] = KeyReference(f"kek-v{version}", bytes([version]))
            token.oracle("make", label=f"kek-v{version}", id=bytes([version]).hex())
        return [row for count in counts for row in _workers(token, settings, references, count, seconds)]


def can_build() -> bool:
    """Return whether `slow_token` can be had."""
    return shutil.which("gcc") is not None


@contextlib.contextmanager
def slow_token(folder: Path) -> Iterator[tuple[Token, dict[str, str]]]:
    """Yield a token and the settings of a module before it whose calls take LATENCY_S."""
    folder.mkdir()
    library = folder / "libshim.so"
    subprocess.run(["gcc", "-O1", "-shared", "-fPIC", "-o", str(library), str(SHIM), "-ldl"], check=True)
    token = _token(folder / "token")
    os.environ["SHIM_MODULE"] = module_path()
    os.environ["SHIM_LATENCY_US"] = str(round(LATENCY_S * 1e6))
    try:
        yield token, token.settings(module_path=str(library))
    finally:
        for name in ("SHIM_MODULE", "SHIM_LATENCY_US", "SHIM_LATENCY_LENGTH"):
            os.environ.pop(name, None)


def _workers(
    token: Token, settings: dict[str, str], references: dict[int, KeyReference], count: int, seconds: float
) -> list[Row]:
    """Return the row of so many bare loops, then that of so many workers: what this machine can do, and what we do."""
    batch = batch_size(
        Options(to_version=2, workers=count), lease_s=30
    )  # of one call of the provider, as in a rotation
    size = max(batch, round(count * seconds / LATENCY_S / CALLS / batch) * batch)
    aad = os.urandom(32)
    os.environ["SHIM_LATENCY_US"] = "0"
    with _provider(settings, references) as quick:
        wraps = quick.wrap(1, [WrapRequest(os.urandom(32), aad) for _number in range(size)])
    requests = [UnwrapRequest(1, wrapped, aad) for wrapped in wraps if isinstance(wrapped, bytes)]
    os.environ["SHIM_LATENCY_US"] = str(round(LATENCY_S * 1e6))
    clock = CpuClock()
    floor_s = _raw_hsm(token, references, size, loops=count, library=settings["module_path"])
    floor = Row(f"floor: {count} bare loops, 1 ms a call", size, floor_s)
    doubts = [clock.doubt()]
    os.environ["SHIM_LATENCY_LENGTH"] = "1"  # who asks for a length pays for it; the bare loops are let off
    clock = CpuClock()
    with _provider(settings, references, workers=count) as provider:
        began = time.perf_counter()
        moved = 0
        for start in range(0, size, batch):
            moved += sum(isinstance(one, bytes) for one in provider.rewrap(2, requests[start : start + batch]))
        wall_s = time.perf_counter() - began
    os.environ.pop("SHIM_LATENCY_LENGTH")
    if moved != size:
        raise RuntimeError(f"{count} workers moved {moved} envelopes of {size}")
    calls_per_s = size * CALLS / wall_s
    note = f"{calls_per_s:.0f} HSM calls/s, {calls_per_s * LATENCY_S / count:.2f} of {count / LATENCY_S:.0f}"
    doubts.append(clock.doubt())
    ours = Row(
        f"workers P = {count}, 1 ms a call", size, wall_s, floor_s / wall_s, AGAINST_LOOPS, note, max(doubts, key=len)
    )
    return [floor, ours]


def _token(folder: Path) -> Token:
    """Return a fresh token; this process and its children find it through SOFTHSM2_CONF."""
    conf = configuration(folder.resolve())
    os.environ["SOFTHSM2_CONF"] = str(conf)
    token = Token(str(conf), "bench-token")
    token.oracle("init")
    return token


def _references(site: Site) -> dict[int, KeyReference]:
    rows = [row for row in site.db["kek_versions"].find({"key.id": {"$exists": True}}) if isinstance(row["_id"], int)]
    return {int(row["_id"]): KeyReference(row["key"]["label"], bytes.fromhex(row["key"]["id"])) for row in rows}


def _provider(settings: dict[str, str], references: dict[int, KeyReference], *, workers: int = 1) -> Pkcs11Provider:
    provider = Pkcs11Provider(
        Pkcs11Settings(settings["module_path"], settings["token_label"], pin=Secret(settings["pin"])),
        PoolOptions(workers),
    )
    provider.open()
    provider.load(references)
    return provider


def _documents(settings: dict[str, str], references: dict[int, KeyReference], size: int) -> list[dict[str, Any]]:
    """Return documents sealed under the token's V1: the data keys are ours, the token wraps them."""
    documents = [credential(os.urandom(32), PAYLOAD) for _number in range(size)]
    contexts = [envelope_layout.context_digest(str(document["_id"]), FIELD) for document in documents]
    deks = [os.urandom(32) for _document in documents]
    with _provider(settings, references) as provider:
        wraps = provider.wrap(1, [WrapRequest(*pair) for pair in zip(deks, contexts, strict=True)])
    for document, dek, context, wrapped in zip(documents, deks, contexts, wraps, strict=True):
        sealed = AESGCM(dek).encrypt(document[FIELD]["nonce"], PAYLOAD, context)
        document[FIELD] |= {"wrapped_dek": wrapped, "ciphertext": sealed, "provider": "pkcs11"}
    return documents


def _raw_hsm(
    token: Token, references: dict[int, KeyReference], size: int, *, loops: int = 1, library: str = ""
) -> float:
    """Return the seconds that the slowest of so many bare loops took for its share."""
    ids = [references[version].key_id.hex() for version in (1, 2)]
    order = {"module_path": library or module_path(), "token": token.label, "pin": PIN, "ids": ids}
    command = [sys.executable, "-m", f"{__package__}.hsm_floor"]
    with contextlib.ExitStack() as running:
        started = []
        for number in range(loops):
            one = running.enter_context(
                subprocess.Popen(
                    command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment(), text=True, cwd=REPOSITORY
                )
            )
            running.callback(one.kill)
            share = size // loops + (number < size % loops)
            _told(one, json.dumps({**order, "n": share}))
            if one.stdout is None or one.stdout.readline() != "ready\n":  # one by one: SoftHSM2 dislikes a crowd
                raise RuntimeError("a bare loop did not start")
            started.append(one)
        for one in started:
            _told(one, "go")
        return max(float(json.loads(one.communicate()[0])["wall_s"]) for one in started)


def _told(process: subprocess.Popen[str], line: str) -> None:
    if process.stdin is not None:
        process.stdin.write(line + "\n")
        process.stdin.flush()
