# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The gate and the settling of a rotation, with real heartbeats: records of the test, and the stand-in as a process."""

from __future__ import annotations

import datetime
import os
import subprocess
import sys
import threading
import time

import pytest
from ansible_collections.certautopilot.ops.plugins.module_utils._domain.errors import OpsError

from tests.support.processes import repository_environment
from tests.support.sealed import credential


@pytest.fixture
def rotatable(env_site):
    env_site.add_kek(2)
    env_site.write()
    return env_site


def beat(site, name, *, loaded=(1, 2), current=1, age_s=0):
    now = site.client.admin.command("hello")["localTime"] - datetime.timedelta(seconds=age_s)
    fields = {"loaded_versions": list(loaded), "current_version": current, "updated_at": now}
    site.db.process_heartbeats.update_one({"_id": name}, {"$set": fields}, upsert=True)


def test_a_rotation_is_refused_while_a_live_process_lacks_the_version_and_writes_nothing(rotatable):
    beat(rotatable, "ready")
    beat(rotatable, "late", loaded=(1,))
    before = rotatable.documents()

    with pytest.raises(OpsError) as refusal:
        rotatable.call("kek_rotate", to_version=2, allow_empty_fleet=False)

    assert refusal.value.code == "fleet.not_ready"
    assert [entry["process"] for entry in refusal.value.facts["fleet_gate"]["behind"]] == ["late"]
    assert rotatable.documents() == before


def test_an_empty_fleet_is_refused_unless_allowed_and_a_beat_of_121_seconds_ago_is_no_life(rotatable):
    beat(rotatable, "gone", loaded=(1,), age_s=121)

    with pytest.raises(OpsError) as refusal:
        rotatable.call("kek_rotate", to_version=2, allow_empty_fleet=False)

    assert refusal.value.code == "fleet.empty"
    assert rotatable.call("kek_rotate", to_version=2, allow_empty_fleet=True).changed


def test_verify_waits_until_the_fleet_has_followed(rotatable):
    beat(rotatable, "late", loaded=(1,))
    follows = threading.Timer(1.5, beat, [rotatable, "late"])
    follows.start()

    verdict = rotatable.call("kek_verify", target=2, wait_timeout=20).values["fleet_gate"]

    follows.join()
    assert (verdict["ready"], verdict["live"]) == (True, 1)


def test_verify_that_gives_up_returns_the_last_state(rotatable):
    beat(rotatable, "late", loaded=(1,))

    with pytest.raises(OpsError) as refusal:
        rotatable.call("kek_verify", target=2, wait_timeout=1)

    assert refusal.value.facts["fleet_gate"]["behind"][0]["process"] == "late"


def test_a_rotation_is_not_complete_while_a_live_process_writes_with_the_old_version_and_drains_its_tail_later(
    rotatable,
):
    beat(rotatable, "slow")

    with pytest.raises(OpsError) as unsettled:
        rotatable.call("kek_rotate", to_version=2, settle_timeout=1)
    active = rotatable.db.kek_versions.find_one({"_id": "active"})["version"]
    rotatable.db.dns_credentials.insert_one(credential(rotatable.keks[1], b"written by the slow one"))
    beat(rotatable, "slow", current=2)
    done = rotatable.call("kek_rotate", to_version=2)

    assert unsettled.value.code == "rotate.not_settled"
    assert unsettled.value.facts["rotation"]["state"] == "settling"
    assert active == 2
    assert done.values["rotation"]["state"] == "complete"
    assert done.values["rotation"]["rewrapped"] == 1
    assert not rotatable.call("kek_rotate", to_version=2).changed


@pytest.fixture
def service(rotatable, tmp_path):
    """The stand-in, running on the site; loads both versions, beats every 0.2 s."""
    config = rotatable.config_file.read_text() + "server: {port: 0}\n"
    rotatable.config_file.write_text(config)
    line = [sys.executable, "-m", "tests.support.service", "serve", "--config", str(rotatable.config_file)]
    line += ["--secrets", str(rotatable.secrets_file), "--heartbeat-interval", "0.2", "--mode", "worker"]
    process = subprocess.Popen(line, env=repository_environment(), cwd=tmp_path)
    deadline = time.monotonic() + 20
    while rotatable.db.process_heartbeats.count_documents({}) == 0 and time.monotonic() < deadline:
        time.sleep(0.05)
    yield f"{os.uname().nodename}:{process.pid}"
    process.terminate()
    process.wait(timeout=10)


def test_a_running_service_proves_its_key_follows_the_swap_and_the_rotation_completes(rotatable, service):
    verdict = rotatable.call("kek_verify", target=1).values["fleet_gate"]

    done = rotatable.call("kek_rotate", to_version=2, allow_empty_fleet=False, settle_timeout=20)

    assert verdict["proven"] == [service]
    assert done.values["rotation"]["state"] == "complete"
    assert rotatable.db.process_heartbeats.find_one()["current_version"] == 2
