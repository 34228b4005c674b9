# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Rotations of an env installation against the floor and against pymongo's own re-wrap, and a second run counted."""

from __future__ import annotations

import cProfile
import json
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pymongo.monitoring
from ansible_collections.certautopilot.ops.plugins.module_utils._keys import registry

from tests.integration.site import Site
from tests.support.database import DatabaseServer
from tests.support.processes import REPOSITORY, repository_environment
from tests.support.sealed import credential

from .floor import COLLECTION, FIELD, Floor
from .machine import CpuClock
from .report import Goal, Row

PAYLOAD = b"-----an api key of forty characters-----"
AGAINST_RIVAL = Goal(True, 40, "x slower")
WRITING = frozenset({"insert", "update", "delete", "findAndModify", "bulkWrite"})
AGAINST_FLOOR = Goal(True, 0.9, "of floor")  # at the largest size: a small one is mostly beginning and end
RIVAL_LIBS = REPOSITORY / ".build" / "bench-libs"


def env_rows(server: DatabaseServer, folder: Path, sizes: Sequence[int], profile: cProfile.Profile | None) -> list[Row]:
    """Return the rows of rotate_env, of the rival, and of the second run, for each size."""
    rows = []
    for size in sizes:
        site = env_site(server, folder / f"env{size}", size)
        clock = CpuClock(server.pid)
        floor = Floor(site.client, site.name, list(site.db[COLLECTION].find()), clock)
        floor.first_half()
        before = clock.spent()
        wall_s, cpu_s = rotated(site, 2, size, profile=profile)
        all_cpu_s = clock.spent() - before
        floor.second_half()
        rows.append(Row("floor: bulk_write and one read", size, floor.wall_s))
        note = f"{cpu_s:.2f} s of it CPU of this process"
        ratio, doubt = floor.wall_s / wall_s, floor.doubt(wall_s)
        largest = size == max(sizes)
        rows.append(Row("rotate_env", size, wall_s, ratio, AGAINST_FLOOR if largest else None, note, doubt))
        rows.append(Row("rotate_env, CPU with the server", size, all_cpu_s, floor.cpu_s / all_cpu_s))
        rows += rival_rows(server, size, wall_s, cpu_s, AGAINST_RIVAL if largest else None)
        if size == min(sizes):
            rows += second_run_rows("env", site, size)
        dropped(site)
    return rows


def env_site(server: DatabaseServer, folder: Path, size: int) -> Site:
    """Return an installation with `size` envelopes under V1, V2 in its secrets file."""
    site = Site(folder, server.uri, server.new_name("bench"))
    kek = site.add_kek(1)
    site.write()
    site.call("kek_install_lock")
    site.db[COLLECTION].insert_many([credential(kek, PAYLOAD) for _number in range(size)], ordered=False)
    site.add_kek(2)
    site.write()
    return site


def rotated(
    site: Site, to_version: int, size: int, *, profile: cProfile.Profile | None = None, **options: Any
) -> tuple[float, float]:
    """Return (wall s, CPU s of this process) of a whole rotation. Raises RuntimeError when it moved not all."""
    wall, cpu = time.perf_counter(), time.process_time()
    if profile is not None:
        profile.enable()
    done = site.call("kek_rotate", to_version=to_version, **options).values["rotation"]
    if profile is not None:
        profile.disable()
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    if (done["state"], done["rewrapped"], done["remaining"]) != ("complete", size, 0):
        raise RuntimeError(f"the rotation did not move {size} envelopes: {done}")
    return wall, cpu


def rival_rows(server: DatabaseServer, size: int, wall_s: float, cpu_s: float, goal: Goal | None) -> list[Row]:
    """Return the rows of `rewrap_many_data_key`: its ratio is how many times faster the rotation was.

    goal: of the client's CPU alone. WHY not of the wall time: both wait for the same server most of the time.
    """
    command = [sys.executable, "-m", f"{__package__}.rival", server.uri, server.new_name("rival"), str(size)]
    ended = subprocess.run(
        [*command, str(RIVAL_LIBS)], env=environment(), capture_output=True, text=True, check=False, cwd=REPOSITORY
    )
    if ended.returncode:
        raise RuntimeError(ended.stderr)
    found = json.loads(ended.stdout)
    if "missing" in found:
        return [Row("rewrap_many_data_key", size, note=found["missing"])]
    note = f"{found['cpu_s']:.2f} s of it client CPU; its writes wait for the majority, ours for the journal as well"
    return [
        Row("rewrap_many_data_key", size, found["wall_s"], found["wall_s"] / wall_s, note=note),
        Row("rewrap_many_data_key, client CPU alone", size, found["cpu_s"], found["cpu_s"] / cpu_s, goal),
    ]


def second_run_rows(name: str, site: Site, size: int) -> list[Row]:
    """Return what a second run of a finished rotation does: database writes and unwraps of envelopes, counted."""
    stored = {bytes(document[FIELD]["wrapped_dek"]) for document in site.db[COLLECTION].find()}
    began = time.perf_counter()
    with _counted_unwraps() as unwraps, _counted_writes() as writes:
        changed = site.call("kek_rotate", to_version=2).changed
    wall_s = time.perf_counter() - began
    envelopes = sum(wrapped in stored for wrapped in unwraps)
    none, proofs = Goal(False, 0, "done"), len(unwraps) - envelopes
    note = f"{proofs} more open the keystore's canaries; changed is {changed}"
    return [
        Row(f"second run, {name}: database writes", size, wall_s, float(len(writes)), none, ", ".join(writes)),
        Row(f"second run, {name}: envelopes unwrapped", size, wall_s, float(envelopes), none, note),
    ]


@contextmanager
def _counted_writes() -> Iterator[list[str]]:
    """Yield a list that gets the name of every writing command of every client made meanwhile."""
    seen: list[str] = []

    class Listener(pymongo.monitoring.CommandListener):
        def started(self, event: pymongo.monitoring.CommandStartedEvent) -> None:
            if event.command_name in WRITING:
                seen.append(event.command_name)

        def succeeded(self, event: pymongo.monitoring.CommandSucceededEvent) -> None:
            pass

        def failed(self, event: pymongo.monitoring.CommandFailedEvent) -> None:
            pass

    listeners = pymongo.monitoring._LISTENERS
    before = list(listeners.command_listeners)
    pymongo.monitoring.register(Listener())
    try:
        yield seen
    finally:
        listeners.command_listeners[:] = before


@contextmanager
def _counted_unwraps() -> Iterator[list[bytes]]:
    """Yield a list that gets every wrap which a provider is asked to open."""
    seen: list[bytes] = []
    original = registry.build_registry

    def counting(*arguments: Any, **options: Any) -> Any:
        provider = original(*arguments, **options)
        unwrap, rewrap = provider.unwrap, provider.rewrap
        provider.unwrap = lambda asked, **how: (seen.extend(one.wrapped for one in asked), unwrap(asked, **how))[1]
        provider.rewrap = lambda version, asked, **how: (
            seen.extend(one.wrapped for one in asked),
            rewrap(version, asked, **how),
        )[1]
        return provider

    registry.build_registry = counting
    try:
        yield seen
    finally:
        registry.build_registry = original


def environment() -> dict[str, str]:
    """Return the environment of child processes: they import the collection and the tests."""
    collections = str(REPOSITORY / ".build" / "collections")
    return repository_environment({"PYTHONPATH": f"{collections}:{REPOSITORY}"})


def dropped(site: Site) -> None:
    site.client.drop_database(site.name)
    site.client.close()
