# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""After a migration: every record arrived under new keys, and only the destination serves, at every time and boot."""

from __future__ import annotations

from tests.support.examples import prepared


def test_x72_x79_only_the_destination_serves_also_after_a_boot(sides, groups):
    prepared.only_the_destination_serves(sides, groups["source"], groups["destination"])


def test_nodes_of_the_destination_have_the_same_secrets(sides, groups):
    texts = {sides.hosts.read(host, prepared.SECRETS) for host in groups["destination"]}

    assert len(texts) == 1
