# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What holds after a forgotten certificate came back, seen by the oracle of the tests on the host."""

from __future__ import annotations

import json

import pytest

from tests.support.examples import prepared


@pytest.fixture(scope="module")
def whole(sides):
    """What the oracle opened before anything was forgotten."""
    return json.loads((sides.folder / "whole.json").read_text(encoding="utf-8"))


def test_everything_is_there_again_and_equal(sides, nodes, whole):
    now = prepared.opened(sides, nodes[0])

    assert {place: stays for place, (stays, _fresh) in now.items()} == {
        place: stays for place, (stays, _fresh) in whole.items()
    }


def test_the_key_was_sealed_anew_and_no_other(sides, nodes, whole):
    now = prepared.opened(sides, nodes[0])

    anew = [place for place in whole if now[place][1] != whole[place][1]]
    assert [place.split("/")[0] for place in anew] == ["certificate_private_keys"]


def test_the_old_database_was_only_read(sides):
    runs = "client.{}.kek_journal.count_documents({{'verb': 'cert_recover'}})"

    assert sides.database(runs.format("certautopilot_old")) == "0"
    assert sides.database(runs.format("certautopilot")) == "1"


def test_the_service_serves(sides, nodes):
    assert [sides.healthy(host) for host in nodes] == [True] * len(nodes)
