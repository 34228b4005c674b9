# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The screen shows what is there, and a host that is off is named and keeps nobody else from being shown."""

from __future__ import annotations

import json

from tests.support.examples.plays import EXAMPLES


def test_a_screen_that_fits_tells_of_lock_key_fleet_and_units(sides, groups):
    run = sides.play(EXAMPLES / "status", playbook="status")

    assert run.status == 0, run.output
    assert set(run.changed.values()) == {0}
    assert max(len(line) for line in run.output.splitlines() if line.startswith("        ")) <= 100
    for said in ("env installation ", "database certautopilot", "1 active", "2 live of 2", "never", "none seen"):
        assert said in run.output
    assert [f"{host}  active, enabled" in run.output for host in groups["certautopilot"]] == [True, True]


def test_a_host_that_is_off_is_named_and_the_others_are_shown(sides, groups, tmp_path):
    on, off = groups["certautopilot"]
    written = tmp_path / "status.json"
    sides.hosts.stop(off)
    try:
        run = sides.play(EXAMPLES / "status", "-e", f"status_json_file={written}", playbook="status")
    finally:
        sides.hosts.reboot(off)

    told = json.loads(written.read_text())
    assert run.status == 0, run.output
    assert told["unreachable"] == [off]
    assert [node["name"] for node in told["installations"][0]["nodes"]] == [on]
    assert f"{off}: CANNOT BE REACHED" in run.output
    assert written.stat().st_mode & 0o777 == 0o600
