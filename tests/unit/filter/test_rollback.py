# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a roll-back would lose is told with its counts, as a bound where it is one, and as unknown where it is."""

from __future__ import annotations

from ansible_collections.certautopilot.ops.plugins.filter.rollback import writes_listed, writes_said

WRITES = {
    "records": 4,
    "exact": True,
    "collections": {"zones": {"written": 2, "gone": 1}, "projects": {"written": 1, "gone": 0}},
    "projects": {"p1": 2, "": 1},
    "places": ["projects/p3", "zones/1", "zones/2 (gone)", "zones/500"],
}


def test_counts_are_said_by_collection_and_listed_by_project():
    said = writes_said(WRITES)

    assert (
        said
        == "the destination has written 4 record(s) since, in projects (1 written), zones (2 written and 1 removed)"
    )
    assert writes_listed(WRITES) == [said, "by project: none 1, p1 2", *WRITES["places"]]


def test_a_bound_is_said_to_be_one():
    assert "at most 4 record(s)" in writes_said({**WRITES, "exact": False})


def test_nothing_unknown_and_unasked_are_three_things():
    said = [writes_said(one) for one in ({"records": 0, "exact": True}, {"records": None}, {})]

    assert len(set(said)) == 3
    assert said[0] == "the destination has written nothing since"
    assert "cannot be told" in said[1]
    assert "is not known" in said[2]


def test_a_long_list_is_cut_and_says_how_many_more():
    many = {**WRITES, "records": 500, "places": [f"zones/{n}" for n in range(100)]}

    assert writes_listed(many)[-1] == "and 480 more"
