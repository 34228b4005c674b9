# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""kek_rotate in a playbook: slices, a line for each, one result for all of them."""

from __future__ import annotations

import re

import pytest
from ansible_collections.certautopilot.ops.plugins.modules.kek_rotate import ARGUMENTS

from tests.support.sealed import credential, plaintext_of

from .conftest import files_of

ENVELOPES = 3000
FEW = 600
LINE = re.compile(
    r"^localhost: kek_rotate to version 2: (\d+)%, (\d+) of (\d+) envelopes, [\d.]+/s, (?:ETA|took) \S+, "
    r"\d+ conflicts?, (\d+) failures?$",
    re.MULTILINE,
)
IGNORE = {"ignore_errors": True}


def filled(site, number):
    site.add_kek(2)
    site.write()
    more = number - site.db.dns_credentials.count_documents({})
    if more > 0:
        site.db.dns_credentials.insert_many([credential(site.keks[1], b"secret") for _number in range(more)])
    return site


@pytest.fixture
def site(env_site):
    return filled(env_site, ENVELOPES)


@pytest.fixture
def small_site(env_site):
    return filled(env_site, FEW)


@pytest.fixture
def tiny_site(env_site):
    return filled(env_site, 12)


def options(site, **more):
    given = {**files_of(site), "to_version": 2, "slice_seconds": 1}
    given |= {"allow_empty_fleet": True} if "allow_empty_fleet" in ARGUMENTS else {}
    number = site.db.dns_credentials.count_documents({})
    if number >= FEW:
        # Small batches, and three calls an envelope at this rate, make the run last for three slices on any machine.
        given |= {"batch_size": number // 100}
        given |= {"hsm_share": number} if "hsm_share" in ARGUMENTS else {}
    return {**given, **more}


def lines(played):
    return [tuple(int(number) for number in found) for found in LINE.findall(played.output)]


def at(site, version):
    return site.db.dns_credentials.count_documents({"encrypted_api_key.kek_version": version, "kek_version": version})


def test_a_rotation_in_slices_prints_a_line_each_and_returns_one_result(play, site):
    done = play(
        ("kek_rotate", options(site), {"check_mode": True}),
        ("kek_rotate", options(site), {}),
        ("kek_rotate", options(site), {}),
        arguments=["--diff"],
    )

    assert done.status == 0, done.output
    check, real, again = done.results
    assert [result["changed"] for result in done.results] == [True, True, False]
    # The check predicts the counts, the run makes exactly those.
    moved = real["rotation"]["rewrapped"]
    assert real["rotation"].pop("retries") == 0
    assert real["rotation"].pop("proof") == {"verify": "all", "made": moved, "opened": moved, "bad_at_most": 0.0}
    assert check["rotation"] == real["rotation"]
    assert check["diff"] == real["diff"]
    assert (real["rotation"]["rewrapped"], real["rotation"]["remaining"]) == (ENVELOPES, 0)
    assert real["diff"]["before"]["envelopes"] == {"1": ENVELOPES}
    assert real["diff"]["after"]["envelopes"] == {"2": ENVELOPES}
    assert again["rotation"]["rewrapped"] == 0
    # Several lines for the first run, one for the second, none for the check.
    *first, second = lines(done)
    assert len(first) >= 2, done.output
    assert [line[0] for line in first] == sorted(line[0] for line in first)
    assert (first[0][0], first[-1], second) == (first[0][0], (100, ENVELOPES, ENVELOPES, 0), (100, 0, 0, 0))
    assert first[0][0] < 100
    assert "\x1b" not in done.output
    assert at(site, 2) == ENVELOPES
    record = site.db.dns_credentials.find_one({}, sort=[("_id", -1)])
    assert plaintext_of(site.keks[2], record["_id"], "encrypted_api_key", record["encrypted_api_key"]) == b"secret"


@pytest.mark.parametrize("keywords", [{"no_log": True}, {}])
def test_progress_can_be_silent(play, tiny_site, keywords):
    done = play(("kek_rotate", options(tiny_site, progress=bool(keywords)), keywords))

    assert done.status == 0, done.output
    assert done.results[0]["rotation"]["rewrapped"] == 12
    assert "kek_rotate to version" not in done.output


def test_the_tasks_own_limit_holds_and_the_next_run_goes_on(play, small_site):
    done = play(("kek_rotate", options(small_site, max_seconds=1), {}), ("kek_rotate", options(small_site), {}))

    first, second = done.results
    assert (first["rotation"]["state"], second["rotation"]["state"]) == ("rewrapping", "complete")
    assert 0 < first["rotation"]["rewrapped"] < FEW
    assert first["rotation"]["rewrapped"] + first["rotation"]["remaining"] == FEW
    assert second["rotation"]["rewrapped"] == first["rotation"]["remaining"]


@pytest.fixture
def buried_site(env_site):
    """100 envelopes among 30,000 records of a log, so that reading everything takes longer than a slice."""
    fields = {f"field{n}": {"before": n, "after": n + 1} for n in range(12)}
    events = ({"_id": n, "actor": {"name": "operator", "roles": ["a", "b"]}, "changes": fields} for n in range(30_000))
    env_site.db.audit_log.insert_many(events, ordered=False)
    return filled(env_site, 100)


def test_x40_a_few_envelopes_among_many_records_move_in_slices_each_of_which_gets_further(play, buried_site):
    done = play(("kek_rotate", options(buried_site, batch_size=10, hsm_share=30), {}))

    assert done.status == 0, done.output
    rotation = done.results[0]["rotation"]
    assert (rotation["state"], rotation["rewrapped"], rotation["remaining"]) == ("complete", 100, 0)
    moved = [line[1] for line in lines(done)]
    assert len(moved) >= 4, done.output
    # Each slice moves something, but for one at the end, in which the rotation is verified, swapped and settled.
    assert moved[:-1] == sorted(set(moved[:-1])), moved
    assert (moved[0] > 0, moved[-1]) == (True, 100)
    assert at(buried_site, 2) == 100


def test_a_compromised_rotation_in_slices_marks_the_old_version_and_lists_everything_at_its_end(play, small_site):
    done = play(("kek_rotate", options(small_site, compromised=True), {}))

    assert done.status == 0, done.output
    rotation = done.results[0]["rotation"]
    assert len(lines(done)) >= 2, done.output
    assert (rotation["state"], rotation["rewrapped"], rotation["reissue_total"]) == ("complete", FEW, FEW)
    assert small_site.db.kek_versions.find_one({"_id": 1})["state"] == "compromised"


def test_a_cancellation_in_slices_prints_a_line_each_and_returns_one_result(play, small_site):
    back = options(small_site, state="cancelled")

    done = play(
        ("kek_rotate", options(small_site, stop_before="swap", hsm_share=0), {}),
        ("kek_rotate", back, {"check_mode": True}),
        ("kek_rotate", back, {}),
        ("kek_rotate", back, {}),
    )

    assert done.status == 0, done.output
    _ready, check, real, again = done.results
    told = [int(found) for found in re.findall(r"kek_rotate back from version 2: \d+%, (\d+) of", done.output)]
    assert len(told) > 2, done.output
    assert (check["rotation"]["rewrapped"], real["rotation"]["rewrapped"], max(told)) == (FEW, FEW, FEW)
    assert (real["rotation"]["state"], real["rotation"]["id"], again["changed"]) == ("cancelled", "to-2", False)
    assert at(small_site, 1) == FEW


def test_a_rotation_in_slices_stops_before_the_swap_and_the_next_task_makes_it(play, tiny_site):
    stop = ("kek_rotate", options(tiny_site, stop_before="swap"), {})

    done = play(stop, stop, ("kek_rotate", options(tiny_site), {}))

    assert done.status == 0, done.output
    assert [result["rotation"]["state"] for result in done.results] == ["ready", "ready", "complete"]
    assert [result["changed"] for result in done.results] == [True, False, True]


def test_a_poisoned_envelope_fails_the_task_after_everything_else_moved(play, small_site):
    poisoned = small_site.db.dns_credentials.find_one({}, sort=[("_id", 1)])
    broken = bytes(len(poisoned["encrypted_api_key"]["wrapped_dek"]))
    small_site.db.dns_credentials.update_one(
        {"_id": poisoned["_id"]}, {"$set": {"encrypted_api_key.wrapped_dek": broken}}
    )  # fmt: skip

    done = play(("kek_rotate", options(small_site), IGNORE))

    result = done.results[0]
    assert result["failure"]["code"] == "rotate.incomplete"
    assert len(lines(done)) >= 2
    assert (result["rotation"]["rewrapped"], result["rotation"]["remaining"]) == (FEW - 1, 1)
    assert [str(poisoned["_id"]) in str(failure) for failure in result["rotation"]["failures"]] == [True]
    assert (at(small_site, 1), at(small_site, 2)) == (1, FEW - 1)


def test_async_runs_in_one_piece_without_lines(play, tiny_site):
    done = play(("kek_rotate", options(tiny_site), {"async": 60, "poll": 1}))

    assert done.status == 0, done.output
    assert done.results[0]["rotation"]["rewrapped"] == 12
    assert lines(done) == []


@pytest.mark.parametrize(
    ("wrong", "code"),
    [({"slice_seconds": -1}, "rotate.options"), ({"max_seconds": -1}, "rotate.options"), ({"slice_seconds": "x"}, "")],
)
def test_options_that_make_no_sense_are_refused_and_nothing_moves(play, tiny_site, wrong, code):
    done = play(("kek_rotate", options(tiny_site, **wrong), IGNORE))

    assert done.results[0]["failed"] is True
    assert done.results[0].get("failure", {}).get("code", "") == code
    assert at(tiny_site, 1) == 12


def test_the_action_group_sets_defaults_for_it_too(play, tiny_site):
    given = options(tiny_site)
    files = {name: given.pop(name) for name in files_of(tiny_site)}

    done = play(("kek_rotate", given, {"module_defaults": {"group/certautopilot.ops.kek": files}}))

    assert done.status == 0, done.output
    assert done.results[0]["rotation"]["rewrapped"] == 12
