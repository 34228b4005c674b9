# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What must be true of a migration after something befell it, and of the runs that follow."""

from __future__ import annotations

import time

from tests.support.examples.sides import NEW, OLD

from .freeze import freeze

SERVES, RETIRED = "active enabled", "inactive disabled retired"


def serves_by_itself(sides, host, within_s=60.0):
    """Whether a host serves again with nobody's help."""
    deadline = time.monotonic() + within_s
    while time.monotonic() < deadline:
        if sides.state(host).startswith("active") and sides.healthy(host, 2):
            return True
        time.sleep(1)
    return False


def ends_well(sides, example, arguments=(), *, old=OLD, new=NEW):
    """The next run moves all without a hand, the one after it changes nothing, and never did two sides serve."""
    second = sides.play(example, *arguments)
    assert second.status == 0, second.output[-6000:]
    freeze(sides, second, old, new)
    third = sides.play(example)
    assert third.status == 0, third.output[-3000:]
    assert set(third.changed.values()) == {0}, third.output
    assert sides.states(*old, *new) == [RETIRED] * len(old) + [SERVES] * len(new)
    assert [sides.healthy(host) for host in new] == [True] * len(new)
    assert sides.switches(*old) == []
    found = sides.compared(old[0], new[0])
    assert (found["differ"], found["reused"]) == ([], 0)
    assert sides.both_served(old, new) == []
    assert sides.bundles() == []
    return second
