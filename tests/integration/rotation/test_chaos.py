# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The short run of `make chaos`, and the proof that its judge finds what it is there to find."""

from __future__ import annotations

import hashlib
import json
import random

import pytest

from tests.chaos import judging
from tests.chaos.killing import Plan, Rotation, Told
from tests.chaos.run import SHORT, run
from tests.support.sealed import credential, envelope


def test_t40_two_rotations_killed_at_random_moments_under_load_lose_no_write_and_fail_no_read(new_site):
    counts = run(new_site(), SHORT, seed=random.SystemRandom().randrange(1_000_000))

    assert counts["wrong"] == [], counts
    assert counts["kills"] >= SHORT.kills
    assert (counts["reads_failed"], counts["writes_lost"], counts["unreadable"]) == (0, 0, 0)


@pytest.fixture
def judged(env_site):
    """An installation whose 12 seeded records and 2 logged writes are all in order. Judge it again by calling this."""
    site = env_site
    site.add_kek(2)
    site.write()
    site.call("kek_rotate", to_version=2)
    before = judging.fingerprints(site)
    log = site.folder / "writer.log"
    site.lines = []
    for number in range(2):
        payload = f"write {number}".encode()
        site.written = credential(site.keks[2], payload, version=2)
        site.db.dns_credentials.insert_one(site.written)
        digest = hashlib.sha256(payload).hexdigest()
        site.lines.append({"id": str(site.written["_id"]), "sha256": digest, "sequence": 7, "version": 2})

    def judge():
        log.write_text("".join(json.dumps(line) + "\n" for line in site.lines))
        return judging.judge(site, before, judging.written([log]), 2)

    judge.site = site
    return judge


def test_the_judge_counts_what_is_in_order_and_finds_nothing_wrong(judged):
    verdict = judged()

    assert (verdict.envelopes, verdict.opened, verdict.untouched, verdict.found_writes) == (14, 14, 17, 2)
    assert verdict.places == []


def a_write_is_gone(site):
    site.db.dns_credentials.delete_one({"_id": site.written["_id"]})


def an_older_write_came_back(site):
    site.lines.append({**site.lines[-1], "sequence": 9, "sha256": "0" * 64})


def a_seeded_record_is_gone(site):
    site.db.zones.delete_one({})


def a_payload_was_sealed_anew(site):
    sealed = site.db.dns_credentials.find_one()
    fresh = envelope(site.keks[2], sealed["_id"], "encrypted_api_key", b"secret 0", version=2)
    site.db.dns_credentials.update_one({"_id": sealed["_id"]}, {"$set": {"encrypted_api_key": fresh}})


def a_wrap_is_damaged(site):
    change = {"$set": {"encrypted_api_key.wrapped_dek": b"\0" * 60}}
    site.db.dns_credentials.update_one({"_id": site.written["_id"]}, change)


def the_outer_version_lags(site):
    site.db.dns_credentials.update_one({}, {"$set": {"kek_version": 1}})


def an_envelope_was_left_behind(site):
    first = site.db.dns_credentials.find_one()
    old = envelope(site.keks[1], first["_id"], "encrypted_api_key", b"secret 0")
    change = {"$set": {"encrypted_api_key.wrapped_dek": old["wrapped_dek"], "kek_version": 1}}
    change["$set"].update({f"encrypted_api_key.{name}": 1 for name in ("kek_version", "kv")})
    site.db.dns_credentials.update_one({"_id": first["_id"]}, change)


def a_record_comes_from_nowhere(site):
    site.db.dns_credentials.insert_one(credential(site.keks[2], b"whose", version=2))


@pytest.mark.parametrize(
    ("damage", "kind"),
    [
        (a_write_is_gone, "lost write"),
        (an_older_write_came_back, "lost write"),
        (a_seeded_record_is_gone, "lost record"),
        (a_payload_was_sealed_anew, "changed"),
        (a_wrap_is_damaged, "unreadable"),
        (the_outer_version_lags, "tags disagree"),
        (an_envelope_was_left_behind, "left behind"),
        (a_record_comes_from_nowhere, "unknown record"),
    ],
    ids=lambda value: value if isinstance(value, str) else value.__name__,
)
def test_the_judge_names_each_kind_of_damage(judged, damage, kind):
    damage(judged.site)

    verdict = judged()

    assert verdict.wrong[kind] == 1
    assert kind in {place.split(":")[0] for place in verdict.places}


def test_a_kill_after_the_end_does_not_count(judged):
    stage = type("Stage", (), {"site": judged.site, "rotation": lambda _self, _version: {"state": "complete"}})()
    told = Told()

    plan = Plan(to_version=2, processes=1, kills=2, span_s=0.1, hsm_share=0, lease_s=1, limit_s=60.0)
    Rotation(stage, plan, random.Random(1), told).run()

    assert sum(told.kills.values()) == 0
    assert told.late == 2
