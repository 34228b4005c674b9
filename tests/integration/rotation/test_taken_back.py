# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A cancellation in slices: it gets on, says how far it is, and neither side undoes what the other decided later."""

from __future__ import annotations

import itertools
import types

import pytest
from ansible_collections.certautopilot.ops.plugins.module_utils._domain.errors import OpsError
from ansible_collections.certautopilot.ops.plugins.module_utils._rotation import deadline

from tests.support.sealed import plaintext_of

FORWARD, BACK, OTHER = "f0", "b0", "a0"  # names of runs


@pytest.fixture
def rotatable(env_site, monkeypatch):
    """Time passes by a second whenever it is asked for, so that a slice of three is over after a batch or two."""
    clock = itertools.count()
    monkeypatch.setattr(deadline, "time", types.SimpleNamespace(monotonic=lambda: next(clock)))
    env_site.add_kek(2)
    env_site.write()
    return env_site


def a_slice(site, run="", **options):
    shape = {"to_version": 2, "batch_size": 2, "max_seconds": 3, "slice_of": run}
    return site.call("kek_rotate", **{**shape, **options}).values["rotation"]


def back(site, run=BACK, **options):
    return a_slice(site, run, state="cancelled", **options)


def moved(site):
    return site.db.dns_credentials.count_documents({"kek_version": 2})


def opened(site, version):
    return sorted(
        plaintext_of(site.keks[version], d["_id"], "encrypted_api_key", d["encrypted_api_key"])
        for d in site.db.dns_credentials.find()
    )


def half_way(site, run=FORWARD):
    while moved(site) < 8:
        a_slice(site, run)
    return moved(site)


def refused(call, *arguments, **options):
    with pytest.raises(OpsError) as failure:
        call(*arguments, **options)
    return failure.value.code


def test_slices_take_it_back_step_by_step_and_the_last_one_counts_all_of_them(rotatable):
    there = half_way(rotatable)

    told = [back(rotatable)]
    while told[-1]["state"] == "rewrapping":
        told.append(back(rotatable))
    again = back(rotatable)

    assert len(told) > 2
    assert [one["id"] for one in told] == ["to-2"] * len(told)
    counts = [one["rewrapped"] for one in told]
    assert (counts, counts[-1]) == (sorted(counts), there)
    assert [one["rewrapped"] + one["remaining"] for one in told[:-1]] == [there] * (len(told) - 1)
    assert (told[-1]["state"], told[-1]["remaining"], again["state"]) == ("cancelled", 0, "cancelled")
    assert opened(rotatable, 1) == sorted(f"secret {n}".encode() for n in range(12))


def test_a_slice_that_finds_it_taken_back_by_another_host_says_what_its_run_did(rotatable):
    there = half_way(rotatable)
    mine = back(rotatable)["rewrapped"]
    other = back(rotatable, OTHER, max_seconds=0)

    last = back(rotatable)

    assert (last["state"], last["rewrapped"], other["rewrapped"]) == ("cancelled", mine, there - mine)
    assert mine > 0


def test_a_rotation_in_slices_that_is_being_taken_back_does_not_go_on(rotatable):
    half_way(rotatable)
    back(rotatable)
    before = moved(rotatable)
    while_it_goes_on = refused(a_slice, rotatable, FORWARD)
    stood = moved(rotatable)
    back(rotatable, max_seconds=0)

    assert (while_it_goes_on, stood) == ("rotate.cancelled", before)
    assert refused(a_slice, rotatable, FORWARD) == "rotate.cancelled"
    assert moved(rotatable) == 0


def test_a_cancellation_in_slices_does_not_undo_that_somebody_goes_on_after_all(rotatable):
    half_way(rotatable)
    back(rotatable)
    a_slice(rotatable, OTHER)  # a run that began after it, so somebody wants it
    stood = moved(rotatable)

    assert refused(back, rotatable) == "rotate.fenced"
    assert moved(rotatable) == stood
    assert a_slice(rotatable, OTHER, max_seconds=0)["state"] == "complete"


def test_what_cannot_be_taken_back_is_named_as_of_the_rotation_that_was_asked_for(rotatable):
    half_way(rotatable)
    victim = rotatable.db.dns_credentials.find_one({"kek_version": 2})
    update = {"$set": {"encrypted_api_key.wrapped_dek": bytes(60)}}
    rotatable.db.dns_credentials.update_one({"_id": victim["_id"]}, update)

    with pytest.raises(OpsError) as failure:
        back(rotatable, max_seconds=0)

    shown = failure.value.facts["rotation"]
    assert (failure.value.code, shown["id"], shown["remaining"]) == ("rotate.incomplete", "to-2", 1)
    assert [str(victim["_id"]) in one["place"] for one in shown["failures"]] == [True]
