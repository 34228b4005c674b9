# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The cost of a rotation: work grows as the records do, memory does not grow with them. Counted, never timed."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.sealed import credential

MEASURING = Path(__file__).parents[1] / "processes" / "measuring.py"
BATCH = 25
MEBIBYTE = 1024 * 1024


@pytest.fixture
def measured(new_site):
    """Measure a rotation of so many credentials, each of so many bytes."""

    def measure(what, records, payload, batch=BATCH):
        site = new_site()
        kek = site.add_kek(1)
        site.add_kek(2)
        site.write()
        site.call("kek_install_lock")
        at_once = max(1, min(250, 8 * MEBIBYTE // payload))
        for start in range(0, records, at_once):
            chunk = range(start, min(records, start + at_once))
            site.db.dns_credentials.insert_many([credential(kek, b"x" * payload) for _each in chunk])
        params = {"config_file": str(site.config_file), "secrets_file": str(site.secrets_file)}
        options = {"to_version": 2, "batch_size": batch, "allow_empty_fleet": True}
        order = json.dumps({"params": params, "options": options, "what": what})
        line = [sys.executable, str(MEASURING)]
        done = subprocess.run(line, input=order, text=True, capture_output=True, check=False)
        assert done.returncode == 0, done.stderr
        told = json.loads(done.stdout.splitlines()[-1])
        assert told["rewrapped"] == records
        return told

    return measure


def test_t14_four_times_the_records_cost_at_most_four_times_the_work(measured):
    small, large = measured("work", 250, 20), measured("work", 1000, 20)

    assert min(small["documents"], small["updates"], small["calls"], small["commands"] * BATCH) >= 250
    # What a rotation does once, whatever its size, is in both: the growth is a little under four, and never above.
    growth = {name: large[name] / small[name] for name in ("documents", "commands", "updates", "calls")}
    assert all(factor <= 4.05 for factor in growth.values()), growth


def test_t14_eight_times_the_records_are_rotated_in_the_same_memory(measured):
    payload, small, large = 6000, 500, 4000
    added = payload * (large - small)  # bytes that a rotation which keeps its records would hold more

    few, many = measured("memory", small, payload), measured("memory", large, payload)

    assert many["peak"] - few["peak"] < added / 10
    assert (many["resident"] - few["resident"]) * 1024 < added / 2


def test_x42_documents_of_three_megabytes_are_rotated_in_memory_that_is_bounded_by_bytes(measured):
    payload = 3_000_000

    told = measured("memory", 100, payload, batch=500)

    # One batch as it was read (16 MiB), one answer of the server as bytes and decoded (32 MiB), one document's copies.
    assert told["peak"] < 3 * 16 * MEBIBYTE + 4 * payload
    assert told["resident"] * 1024 < 200 * MEBIBYTE  # of which the interpreter and its libraries have a quarter
