# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A source that is written to through a migration: after the last pass both sides hold the same, bit for bit (X1).

Two threads add, change, delete, delete and insert again, change and change back. The comparison is none of ours: raw
BSON by pymongo, envelopes opened by tests/support/sealed.py. A failure names the seed of what the writers do.
"""

from __future__ import annotations

import random
import threading

import pytest
from ansible_collections.certautopilot.ops.plugins.module_utils._store import changes
from bson import ObjectId
from bson.raw_bson import RawBSONDocument

from tests.support.age_keys import public_of
from tests.support.sealed import credential, envelope, plaintext_of

FIELD = "encrypted_api_key"
ROUNDS = pytest.mark.parametrize("rounds", [2, pytest.param(20, marks=pytest.mark.slow)])


class Writer(threading.Thread):
    """Writes to the source until it is stopped."""

    def __init__(self, site, seed):
        super().__init__(daemon=True)
        self._drawn, self._kek = random.Random(seed), site.keks[1]
        self._zones, self._credentials = site.db.zones, site.db.dns_credentials
        self._stopped = threading.Event()
        self.writes = 0

    def run(self):
        kinds = (self._add, self._change, self._delete, self._insert_again, self._change_and_back, self._reseal)
        while not self._stopped.is_set():
            self._drawn.choice(kinds)()
            self.writes += 1

    def stop(self):
        self._stopped.set()
        self.join()

    def _one(self, collection):
        found = list(collection.find({}, {"_id": 1}).limit(40))
        return self._drawn.choice(found)["_id"] if found else None

    def _add(self):
        self._zones.insert_one({"_id": ObjectId(), "apex": str(self._drawn.random()), "n": self._drawn.randrange(9)})
        self._credentials.insert_one(credential(self._kek, self._drawn.randbytes(30)))

    def _change(self):
        self._zones.update_one({"_id": self._one(self._zones)}, {"$set": {"apex": str(self._drawn.random())}})

    def _delete(self):
        self._zones.delete_one({"_id": self._one(self._zones)})
        self._credentials.delete_one({"_id": self._one(self._credentials)})

    def _insert_again(self):
        gone = self._zones.find_one_and_delete({"_id": self._one(self._zones)})
        if gone is not None:
            self._zones.insert_one({**gone, "again": True})

    def _change_and_back(self):
        before = self._zones.find_one({"_id": self._one(self._zones)})
        if before is not None:
            self._zones.update_one({"_id": before["_id"]}, {"$set": {"apex": "for a moment"}})
            self._zones.replace_one({"_id": before["_id"]}, before)

    def _reseal(self):
        record_id = self._one(self._credentials)
        sealed = envelope(self._kek, record_id, FIELD, self._drawn.randbytes(30))
        self._credentials.update_one({"_id": record_id}, {"$set": {FIELD: sealed}})


def raw(site, collection):
    codec = site.db.codec_options.with_options(document_class=RawBSONDocument)
    return [bytes(one.raw) for one in site.db.get_collection(collection, codec).find(sort=[("_id", 1)])]


def opened(site):
    """Return (the document without its envelope, the payload) of every credential."""
    found = []
    for document in site.db.dns_credentials.find(sort=[("_id", 1)]):
        sealed = document.pop(FIELD)
        found.append((document, plaintext_of(site.keks[1], document["_id"], FIELD, sealed)))
    return found


@ROUNDS
@pytest.mark.parametrize("last_pass", ["everything", "oplog", "raw_read"])
def test_x1_what_is_written_through_both_passes_is_at_the_destination_after_the_last_one(
    env_site, empty_env_site, identity, tmp_path, monkeypatch, rounds, last_pass
):
    """last_pass: how the pass over the quiet source finds what it moves."""
    if last_pass == "raw_read":
        monkeypatch.setattr(changes, "begin", lambda _store: None)
    whole, changed = str(tmp_path / "bundle"), str(tmp_path / "changes")
    export = {"recipients": (public_of(identity),)}
    load = {"identity_file": str(identity)}
    seed = random.SystemRandom().randrange(2**32)

    for number in range(rounds):
        writers = [Writer(env_site, f"{seed} {number} {which}") for which in range(2)]
        for writer in writers:
            writer.start()
        env_site.call("data_export", dest=whole, **export)
        empty_env_site.call("data_import", src=whole, **load)
        if last_pass == "everything":
            env_site.call("data_export", dest=whole, **export)
        for writer in writers:
            writer.stop()
        if last_pass == "everything":
            empty_env_site.call("data_import", src=whole, **load)
            env_site.call("data_export", dest=whole, **export)  # the source is quiet now
            done = empty_env_site.call("data_import", src=whole, **load)
        else:
            env_site.call("data_export", dest=changed, base=whole, **export)
            done = empty_env_site.call("data_import", src=changed, base=whole, **load)

        proof, there = (
            done.values["manifest"],
            sum(map(len, (raw(env_site, "zones"), raw(env_site, "dns_credentials")))),
        )
        assert (proof["found_by"], proof["equal"], proof["extra"]) == (last_pass, there, []), seed
        assert raw(env_site, "zones") == raw(empty_env_site, "zones"), seed
        assert opened(env_site) == opened(empty_env_site), seed
        assert min(writer.writes for writer in writers) > 10, seed
