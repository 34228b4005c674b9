# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Writers that never pause, and processes that do not follow: a rotation still comes to an end, or says why not."""

from __future__ import annotations

import time

import pytest
from ansible_collections.certautopilot.ops.plugins.module_utils._domain.errors import OpsError
from ansible_collections.certautopilot.ops.plugins.module_utils._store import records

from tests.chaos.rotating import Rotating
from tests.support.sealed import credential, plaintext_of


@pytest.fixture
def rotatable(env_site):
    env_site.add_kek(2)
    env_site.write()
    return env_site


def stubborn_process(site):
    """A live process that has both versions and goes on to write with the old one."""
    now = site.client.admin.command("hello")["localTime"]
    beat = {"_id": "stubborn", "loaded_versions": [1, 2], "current_version": 1, "updated_at": now}
    site.db.process_heartbeats.insert_one(beat)


LIMIT = 200  # writes; a rotation that still runs after so many would run for as long as somebody writes


@pytest.fixture
def busy(rotatable, monkeypatch):
    """A writer that seals one more record under the old version after every batch, until it is told the new one."""
    real, added = records.compare_and_set, []

    def and_one_more(store, collection, changes):
        written = real(store, collection, changes)
        if changes and len(added) < LIMIT and not rotatable.follows():
            added.append(credential(rotatable.keks[1], b"one more"))
            rotatable.db.dns_credentials.insert_one(added[-1])
        return written

    monkeypatch.setattr(records, "compare_and_set", and_one_more)
    rotatable.follows = lambda: rotatable.db.kek_versions.find_one({"_id": "active"})["version"] == 2
    rotatable.added = added
    return rotatable


def test_t15_a_rotation_ends_though_a_writer_seals_under_the_old_version_until_the_swap(busy):
    done = busy.call("kek_rotate", to_version=2)

    assert 0 < len(busy.added) < LIMIT
    assert done.values["rotation"]["state"] == "complete"
    for document in busy.db.dns_credentials.find():
        assert plaintext_of(busy.keks[2], document["_id"], "encrypted_api_key", document["encrypted_api_key"])


def test_t15_the_wait_for_a_writer_that_does_not_follow_the_swap_ends_when_its_time_is_over(busy):
    busy.follows = lambda: False
    stubborn_process(busy)

    with pytest.raises(OpsError) as failure:
        busy.call("kek_rotate", to_version=2, settle_timeout=1)

    assert failure.value.code == "rotate.not_settled"
    assert 0 < len(busy.added) < LIMIT


def test_t16_a_holder_that_only_waits_keeps_its_lease_and_ends_by_itself(rotatable, request):
    stubborn_process(rotatable)
    options = {"constants": {"LEASE_S": 3}, "to_version": 2}
    holder = Rotating(rotatable, settle_timeout=8, **options)
    request.addfinalizer(holder.kill)
    while (rotatable.db.kek_rotations.find_one({"_id": "to-2"}) or {}).get("state") != "settling":
        assert not holder.ended(), holder.outcome()
        time.sleep(0.05)

    second = Rotating(rotatable, settle_timeout=1, **options)
    request.addfinalizer(second.kill)

    assert holder.outcome().code == "rotate.not_settled"
    assert second.outcome().code in ("lease.held", "rotate.not_settled")
