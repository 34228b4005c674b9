# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What holds after each example."""

from __future__ import annotations

from tests.support.examples import prepared
from tests.support.hosts.hosts import LOGIN


def test_no_secret_is_in_what_the_runs_said(sides, nodes, said):
    values = prepared.secrets_on(sides, nodes)

    assert len(values) >= 3
    assert said.count("PLAY RECAP") >= 3  # check, run, second run
    assert "EXEC" in said  # as with -vvv
    assert [value for value in values if value in said] == []


def test_nothing_of_a_bundle_or_of_check_mode_is_left(sides, nodes):
    look = f"ls -d /opt/*-check /home/{LOGIN}/.ansible/tmp/* 2>/dev/null; true"
    listed = [sides.hosts.run(host, ["sh", "-c", look]) for host in nodes]

    assert [answer.stdout for answer in listed] == [""] * len(nodes)
    assert sides.bundles() == []
