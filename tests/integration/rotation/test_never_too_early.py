# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Nothing is called complete, or removed, on a proof older than a write or past envelopes that nobody explains."""

from __future__ import annotations

import pytest
from ansible_collections.certautopilot.ops.plugins.module_utils._domain.errors import OpsError
from ansible_collections.certautopilot.ops.plugins.module_utils._verbs import kek_remove

from tests.support.sealed import credential


@pytest.fixture
def rotatable(env_site):
    env_site.add_kek(2)
    env_site.write()
    return env_site


@pytest.fixture
def rotated(rotatable):
    rotatable.call("kek_rotate", to_version=2)
    return rotatable


def liar(site):
    """Return a credential that says version 2 and needs the KEK of version 1."""
    return credential(site.keks[1], b"needs version one", version=2)


def state_of(site, version):
    return site.db.kek_versions.find_one({"_id": version})["state"]


def test_t6_a_proof_from_before_the_last_write_does_not_let_a_version_be_removed(rotated):
    proof = rotated.call("kek_remove", check=True, version=1, grace=0)  # opens every envelope, writes nothing
    late = liar(rotated)
    rotated.db.dns_credentials.insert_one(late)

    with pytest.raises(OpsError) as refusal:
        rotated.call("kek_remove", version=1, grace=0)

    assert proof.changed
    assert refusal.value.code == "remove.unreadable"
    assert str(late["_id"]) in refusal.value.message
    assert state_of(rotated, 1) == "deactivated"


def test_t6_a_write_between_the_proof_and_the_fence_is_opened_too_before_the_version_is_gone(rotated, monkeypatch):
    real = kek_remove.removed_version_validator.raise_around

    def a_write_comes_first(store, fields, version):
        rotated.db.dns_credentials.insert_one(liar(rotated))
        return real(store, fields, version)

    monkeypatch.setattr(kek_remove.removed_version_validator, "raise_around", a_write_comes_first)

    with pytest.raises(OpsError) as refusal:
        rotated.call("kek_remove", version=1, grace=0)

    assert refusal.value.code == "remove.unreadable"
    assert state_of(rotated, 1) == "deactivated"


def test_t18_a_rotation_past_an_envelope_of_an_unknown_newer_version_is_not_complete(rotatable):
    planted = credential(b"\1" * 32, b"from the future", version=9)
    rotatable.db.dns_credentials.insert_one(planted)

    with pytest.raises(OpsError) as failure:
        rotatable.call("kek_rotate", to_version=2)

    (named,) = failure.value.facts["rotation"]["failures"]
    assert named["place"] == f"dns_credentials/{planted['_id']}.encrypted_api_key"
    assert failure.value.code == "rotate.incomplete"
    assert rotatable.db.kek_rotations.find_one({"_id": "to-2"})["state"] != "complete"
    assert rotatable.db.kek_versions.find_one({"_id": "active"})["version"] == 1
    assert rotatable.db.dns_credentials.find_one({"_id": planted["_id"]}) == planted


def test_t18_a_newer_version_that_shows_up_after_the_end_is_not_passed_over_by_the_next_run(rotated):
    planted = credential(b"\1" * 32, b"from the future", version=9)
    rotated.db.dns_credentials.insert_one(planted)

    with pytest.raises(OpsError) as failure:
        rotated.call("kek_rotate", to_version=2)

    assert failure.value.code == "rotate.incomplete"
    assert [named["place"] for named in failure.value.facts["rotation"]["failures"]] == [
        f"dns_credentials/{planted['_id']}.encrypted_api_key"
    ]
    assert rotated.db.dns_credentials.find_one({"_id": planted["_id"]}) == planted


def test_t18_one_newer_tag_outside_or_inside_is_an_anomaly_and_not_complete(rotatable):
    victim = rotatable.db.dns_credentials.find_one()
    rotatable.db.dns_credentials.update_one({"_id": victim["_id"]}, {"$set": {"kek_version": 9}})

    with pytest.raises(OpsError) as failure:
        rotatable.call("kek_rotate", to_version=2)

    assert failure.value.code == "rotate.incomplete"
    assert rotatable.db.kek_rotations.find_one({"_id": "to-2"})["state"] != "complete"
