# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""After a rotation on two nodes with one token: everything opens as before, under new wraps; both went on serving."""

from __future__ import annotations

from tests.support.examples import prepared
from tests.support.examples.sides import RECORDS, SECRETS


def test_x101_the_new_version_is_the_active_one_where_the_files_are_the_services(sides, nodes):
    active = "[row['_id'] for row in client.certautopilot.kek_versions.find({'state': 'active'})]"
    owners = {sides.hosts.run(node, ["stat", "--format=%U", SECRETS]).stdout.strip() for node in nodes}

    assert sides.database(active) == "[2]"
    assert owners == {"certautopilot"}


def test_every_record_opens_to_the_same_on_every_node_and_every_wrap_is_new(sides, before, nodes):
    was = before["opened"]
    for node in nodes:
        now = prepared.opened(sides, node)
        wraps = [{made[1] for _stays, made in side.values() if made} for side in (was, now)]

        assert {place: found[0] for place, found in now.items()} == {place: found[0] for place, found in was.items()}
        assert wraps[0].isdisjoint(wraps[1])
        assert len(wraps[1]) > RECORDS / 4


def test_every_node_served_all_the_time(sides, nodes):
    for node in nodes:
        served = [well for _when, _active, well in sides.samples(node)]

        assert all(served[served.index(True) :])
