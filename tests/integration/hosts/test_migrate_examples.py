# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What can be seen of a migration only while it runs: how its bundle lies on the way, what -vv says, how long it froze.

That every example runs unchanged, in check mode first, and changes nothing a second time, is molecule's (hosts_…).
"""

from __future__ import annotations

from tests.support.examples import prepared
from tests.support.examples.sides import NEW, OLD

from .freeze import freeze

ON_THE_WAY = "Transfer | the bundle is on the destination"


def test_x72_x79_x80_what_two_nodes_bring_to_one_with_an_hsm_is_private_on_its_way(sides, record_property):
    sides.install("env", *OLD)
    sides.token(NEW[0])
    on_the_way = []

    moved = sides.play(
        "migrate_env_to_pkcs11", "--diff", "-vv", at=(ON_THE_WAY,),
        befall=lambda _run: on_the_way.extend(sides.bundles()),
    )  # fmt: skip

    assert moved.status == 0, moved.output[-5000:]
    values = prepared.secrets_on(sides, (*OLD, NEW[0]))
    assert len(values) > len(sides.pins)
    assert [value for value in (*sides.pins, *values) if value in moved.output] == []
    modes = {line.split()[1].partition("-bundles-")[0]: line.split()[0] for line in on_the_way}
    assert (modes["certautopilot"], modes["bundle"]) == ("700", "700")
    assert "records.age" in modes
    assert sides.bundles() == []
    record_property("freeze", freeze(sides, moved, OLD, NEW[:1]))
    prepared.only_the_destination_serves(sides, OLD, NEW[:1])
