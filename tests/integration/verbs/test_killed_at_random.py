# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Backup, restore, export, import, acceptance killed (SIGKILL) at moments that nobody chose: run again, they end alike.

The moments are drawn from a seed that a failure names. Oracles: tests/support/sealed.py opens what arrived, pymongo and
the file system tell the rest.
"""

from __future__ import annotations

import json
import random
import subprocess
import sys
import time
from pathlib import Path

import pytest
from ansible_collections.certautopilot.ops.plugins.module_utils._verbs import data_import

from tests.support import mongodump_forms
from tests.support.age_keys import public_of
from tests.support.sealed import plaintext_of

PROCESS = Path(__file__).parents[1] / "processes" / "dying.py"
KILLS = pytest.mark.parametrize("kills", [3, pytest.param(100, marks=pytest.mark.slow)])


class Run:
    """One verb in a process of its own."""

    def __init__(self, site, verb, options):
        order = {
            "params": {"config_file": str(site.config_file), "secrets_file": str(site.secrets_file)},
            "verb": verb, "options": options, "fail_point": None, "at": "", "constants": {"LEASE_S": 1},
        }  # fmt: skip
        self._process = subprocess.Popen(
            [sys.executable, str(PROCESS)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
        )
        self._process.stdin.write(json.dumps(order).encode())
        self._process.stdin.close()
        assert self._process.stdout.readline() == b"begun\n"

    def wait(self):
        self._process.stdout.read()
        return self._process.wait(timeout=120)

    def kill(self):
        self._process.kill()
        return self.wait()


class Killer:
    """Kills runs at random moments of the time that the first, undisturbed one takes, until so many have died."""

    def __init__(self, site, verb, kills):
        self.kills = kills
        self.seed = random.SystemRandom().randrange(2**32)
        self.died = 0
        self._drawn, self._site, self._verb = random.Random(self.seed), site, verb
        self._lasts = None

    def run(self, **options):
        run, began = Run(self._site, self._verb, options), time.monotonic()
        if self._lasts is None:
            assert run.wait() == 0
            self._lasts = time.monotonic() - began
            return
        time.sleep(self._drawn.uniform(0, self._lasts))
        if run.kill() == -9:
            self.died += 1
        else:  # it was quicker than the first one, which had to read everything from the disk
            self._lasts *= 0.8


def rounds(*killers):
    """Yield numbers of rounds until enough runs of each died; far more than that means that nothing is killed."""
    for number in range(3 * max(killer.kills for killer in killers) + 10):
        if all(killer.died >= killer.kills for killer in killers):
            return
        yield number
    raise AssertionError([(killer.died, killer.seed) for killer in killers])


@pytest.fixture(autouse=True)
def short_leases(monkeypatch):
    monkeypatch.setattr(data_import, "LEASE_S", 1)


def left_in(folder):
    """Return what is there and was not meant to stay."""
    return [str(path) for path in folder.rglob("*") if "unfinished" in path.name or path.name.startswith(".")]


@KILLS
@pytest.mark.parametrize("encrypt", ["secrets", "all"])
def test_x27_a_backup_killed_at_random_is_whole_after_the_next_run_and_nothing_else_is_left(
    env_site, identity, tmp_path, kills, encrypt
):
    killer, folder = Killer(env_site, "db_backup", kills), tmp_path / "backups"
    folder.mkdir(mode=0o700)
    options = {"recipients": (public_of(identity),), "encrypt": encrypt}

    for number in rounds(killer):
        dest = str(folder / f"of-run-{number}")
        killer.run(dest=dest, **options)
        manifest = env_site.call("db_backup", dest=dest, **options).values["manifest"]
        assert (manifest["envelopes"], left_in(folder)) == (12, []), killer.seed


@KILLS
def test_t9_an_export_killed_at_random_is_whole_after_the_next_run_and_nothing_else_is_left(
    env_site, empty_env_site, identity, tmp_path, kills
):
    killer, folder = Killer(env_site, "data_export", kills), tmp_path / "bundles"
    folder.mkdir(mode=0o700)
    options = {"dest": str(folder / "bundle"), "recipients": [public_of(identity)]}

    for number in rounds(killer):
        env_site.db.zones.update_one({"_id": 1}, {"$set": {"apex": f"{number}.example"}})
        killer.run(**options)
        env_site.call("data_export", **{**options, "recipients": tuple(options["recipients"])})
        done = empty_env_site.call("data_import", src=options["dest"], identity_file=str(identity))
        assert (done.values["manifest"]["equal"], left_in(folder)) == (17, []), killer.seed
        assert empty_env_site.db.zones.find_one({"_id": 1})["apex"] == f"{number}.example", killer.seed


@KILLS
def test_t10_an_import_and_an_acceptance_killed_at_random_end_the_same(
    env_site, empty_env_site, identity, tmp_path, kills
):
    importing, accepting = (Killer(empty_env_site, verb, kills) for verb in ("data_import", "migration_accept"))
    export = {"dest": str(tmp_path / "bundle"), "recipients": (public_of(identity),)}
    load = {"src": export["dest"], "identity_file": str(identity), "trust": "bundle"}
    env_site.db.zones.create_index("apex", name="apex", unique=True)
    seeds = (importing.seed, accepting.seed)

    for number in rounds(importing, accepting):
        env_site.db.zones.delete_one({"apex": "4.example"})
        env_site.db.zones.insert_one({"_id": -number - 1, "apex": "4.example"})
        env_site.call("data_export", **export)
        importing.run(**load)
        empty_env_site.call("data_import", **load)
        assert not empty_env_site.call("data_import", **load).changed, seeds
        accepting.run()
        empty_env_site.call("migration_accept")
        assert empty_env_site.db.kek_imports.find_one()["state"] == "accepted", seeds
        empty_env_site.db.kek_imports.update_one({}, {"$set": {"state": "proven"}})  # so that the next round may import

    kek = empty_env_site.keks[1]
    opened = [
        plaintext_of(kek, d["_id"], "encrypted_api_key", d["encrypted_api_key"])
        for d in empty_env_site.db.dns_credentials.find()
    ]
    assert sorted(opened) == sorted(f"secret {n}".encode() for n in range(12)), seeds
    assert list(empty_env_site.db.zones.find(sort=[("_id", 1)])) == list(env_site.db.zones.find(sort=[("_id", 1)]))
    assert empty_env_site.db.zones.index_information()["apex"]["unique"]


@KILLS
def test_t10_changes_that_are_exported_and_imported_and_killed_at_random_end_the_same(
    env_site, empty_env_site, identity, tmp_path, kills
):
    exporting, importing = Killer(env_site, "data_export", kills), Killer(empty_env_site, "data_import", kills)
    whole, changed, public = str(tmp_path / "bundle"), str(tmp_path / "changes"), public_of(identity)
    load = {"src": changed, "base": whole, "identity_file": str(identity), "trust": "bundle"}
    seeds = (exporting.seed, importing.seed)

    for number in rounds(exporting, importing):
        env_site.call("data_export", dest=whole, recipients=(public,))
        empty_env_site.call("data_import", src=whole, identity_file=str(identity))
        env_site.db.zones.delete_one({"apex": "4.example"})
        env_site.db.zones.insert_one({"_id": -number - 1, "apex": "4.example"})
        exporting.run(dest=changed, base=whole, recipients=[public])
        env_site.call("data_export", dest=changed, base=whole, recipients=(public,))
        importing.run(**load)
        done = empty_env_site.call("data_import", **load).values["manifest"]
        assert (done["records"], done["equal"], left_in(tmp_path)) == (17, 17, []), seeds
        assert list(empty_env_site.db.zones.find(sort=[("_id", 1)])) == list(env_site.db.zones.find(sort=[("_id", 1)]))


@KILLS
def test_a_restore_killed_at_random_ends_the_same(env_site, new_site, tmp_path, kills):
    env_site.db.zones.insert_many([{"_id": number, "apex": f"{number}.example"} for number in range(100, 2100)])
    env_site.db.zones.create_index("apex", name="apex", unique=True)
    env_site.db.create_collection("first_zones", viewOn="zones", pipeline=[])
    dump = mongodump_forms.write_archive(env_site.db, tmp_path / "dump", packed=True, slice_of=300)
    target, expected = new_site(), mongodump_forms.everything(env_site.db)
    target.write()
    killer = Killer(target, "db_restore", kills)

    for _number in rounds(killer):
        target.client.drop_database(target.name)
        killer.run(src=str(dump))
        target.call("db_restore", src=str(dump))
        assert not target.call("db_restore", src=str(dump)).changed, killer.seed
        assert mongodump_forms.everything(target.db) == expected, killer.seed
        assert target.db.zones.index_information()["apex"]["unique"] is True
