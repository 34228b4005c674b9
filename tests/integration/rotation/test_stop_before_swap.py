# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""`stop_before: swap`: everything is re-wrapped and verified, and the step that cannot be taken back is not done."""

from __future__ import annotations

import pytest
from ansible_collections.certautopilot.ops.plugins.module_utils._domain.errors import OpsError
from ansible_collections.certautopilot.ops.plugins.module_utils._keys import registry

from tests.support.sealed import credential, plaintext_of

SECRETS = {f"secret {n}".encode() for n in range(12)}


@pytest.fixture
def rotatable(env_site):
    env_site.add_kek(2)
    env_site.write()
    return env_site


@pytest.fixture
def ready(rotatable):
    """An installation whose rotation stopped before the swap."""
    rotatable.done = rotatable.call("kek_rotate", to_version=2, stop_before="swap")
    return rotatable


def opened(site, version):
    return {
        plaintext_of(site.keks[version], d["_id"], "encrypted_api_key", d["encrypted_api_key"])
        for d in site.db.dns_credentials.find({"kek_version": version})
    }


def keystore_of(site):
    states = {row["_id"]: row.get("state") for row in site.db.kek_versions.find()}
    return states, site.db.kek_versions.find_one({"_id": "active"})


def test_everything_is_under_the_new_version_and_the_old_one_is_still_active(ready):
    states, active = keystore_of(ready)

    assert (ready.done.values["rotation"]["state"], ready.done.values["rotation"]["rewrapped"]) == ("ready", 12)
    assert (ready.done.after["active"], ready.done.after["envelopes"]) == (1, {"2": 12})
    assert opened(ready, 2) == SECRETS
    assert active == {"_id": "active", "version": 1, "epoch": 1}
    assert (states[1], states[2]) == ("active", "pre-activation")
    assert ready.call("kek_info").values["rotation"]["state"] == "ready"


def test_t38_check_mode_predicts_it_and_writes_nothing(rotatable):
    before = rotatable.documents()
    predicted = rotatable.call("kek_rotate", check=True, to_version=2, stop_before="swap")
    untouched = rotatable.documents() == before

    real = rotatable.call("kek_rotate", to_version=2, stop_before="swap")

    assert untouched
    real.values["rotation"].pop("retries")
    real.values["rotation"].pop("proof")
    assert predicted.values["rotation"] == real.values["rotation"]
    assert (predicted.before, predicted.after) == (real.before, real.after)


@pytest.mark.parametrize("check", [True, False])
def test_t20_a_second_run_with_it_changes_nothing_and_needs_no_key(ready, monkeypatch, check):
    before = ready.documents()
    monkeypatch.delattr(registry, "build_registry")

    again = ready.call("kek_rotate", check=check, to_version=2, stop_before="swap")

    assert (again.changed, again.values["rotation"]["state"]) == (False, "ready")
    assert again.after == {"active": 1, "envelopes": {"2": 12}}
    assert ready.documents() == before


def test_a_run_without_it_finishes_the_rotation(ready):
    done = ready.call("kek_rotate", to_version=2)

    assert (done.values["rotation"]["state"], done.values["rotation"]["rewrapped"]) == ("complete", 0)
    assert keystore_of(ready)[1]["version"] == 2
    assert not ready.call("kek_rotate", to_version=2).changed
    assert not ready.call("kek_rotate", to_version=2, stop_before="swap").changed


@pytest.mark.parametrize(("stop_before", "state", "active"), [("swap", "ready", 1), ("none", "complete", 2)])
def test_what_a_writer_seals_under_the_old_version_meanwhile_moves_in_the_next_run(ready, stop_before, state, active):
    ready.db.dns_credentials.insert_one(credential(ready.keks[1], b"meanwhile"))

    next_run = ready.call("kek_rotate", to_version=2, stop_before=stop_before)

    assert (next_run.values["rotation"]["state"], next_run.values["rotation"]["rewrapped"]) == (state, 1)
    assert opened(ready, 2) == {*SECRETS, b"meanwhile"}
    assert keystore_of(ready)[1]["version"] == active


def test_damage_that_comes_meanwhile_is_found_by_the_verification_before_the_swap(ready):
    damaged = credential(ready.keks[1], b"without a version")
    del damaged["kek_version"], damaged["encrypted_api_key"]["kek_version"], damaged["encrypted_api_key"]["kv"]
    ready.db.dns_credentials.insert_one(damaged)

    for stop_before in ("swap", "none"):
        with pytest.raises(OpsError) as failure:
            ready.call("kek_rotate", to_version=2, stop_before=stop_before)
        assert failure.value.code == "rotate.incomplete"
    assert keystore_of(ready)[1]["version"] == 1


def test_it_can_still_be_taken_back(ready):
    cancelled = ready.call("kek_rotate", to_version=2, state="cancelled")

    assert cancelled.values["rotation"]["state"] == "cancelled"
    assert opened(ready, 1) == SECRETS
    assert keystore_of(ready)[1]["version"] == 1
    assert ready.call("kek_rotate", to_version=2).values["rotation"]["state"] == "complete"


def test_until_it_is_finished_no_version_is_removed(ready):
    ready.call("kek_rotate", to_version=2, stop_before="swap")

    with pytest.raises(OpsError) as refusal:
        ready.call("kek_remove", version=2, grace=0)

    assert refusal.value.code == "remove.rotation_running"


def test_a_compromised_rotation_stops_before_the_swap_too_and_marks_nothing_until_it_is_finished(rotatable):
    stopped = rotatable.call("kek_rotate", to_version=2, compromised=True, stop_before="swap").values["rotation"]
    marked = keystore_of(rotatable)[0][1]

    finished = rotatable.call("kek_rotate", to_version=2, compromised=True).values["rotation"]

    assert (stopped["state"], marked) == ("ready", "active")
    assert "reissue" not in stopped
    assert finished["reissue_total"] == 12
    assert keystore_of(rotatable)[0][1] == "compromised"
