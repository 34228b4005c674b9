# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Certificates that run out soon: the soonest are named, all are counted."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from ansible_collections.certautopilot.ops.plugins.module_utils._domain.expiring import LISTED, Expiring

NOW = datetime(2026, 5, 1, 21, 0, 0, tzinfo=UTC)


def certificate(days, **more):
    return {"_id": f"c{days}", "name": "n", "project_id": "p", "not_after": NOW + timedelta(days=days), **more}


def test_what_runs_out_in_time_is_listed_the_soonest_first():
    found = Expiring(NOW)

    for days in (29, -3, 31, 30):
        found.note(certificate(days))

    told = found.as_listed()
    assert [one["id"] for one in told["certificates"]] == ["c-3", "c29", "c30"]
    assert (told["count"], told["within_days"], told["by_project"]) == (3, 30, {"p": 3})
    assert told["certificates"][0]["not_after"] == "2026-04-28T21:00:00Z"


def test_naive_times_are_utc():
    found = Expiring(NOW.replace(tzinfo=None))

    found.note({**certificate(1), "not_after": (NOW + timedelta(days=1)).replace(tzinfo=None)})

    assert found.as_listed()["count"] == 1


def test_what_is_revoked_or_says_no_time_is_left_out():
    found = Expiring(NOW)

    found.note(certificate(1, status="revoked"))
    found.note({"_id": 1, "not_after": "soon"})

    assert found.as_listed()["certificates"] == []


def test_of_many_the_soonest_are_listed_and_all_are_counted():
    found = Expiring(NOW)

    for number in range(3 * LISTED):
        found.note({**certificate(20), "_id": number, "not_after": NOW + timedelta(hours=3 * LISTED - number)})

    told = found.as_listed()
    assert told["count"] == 3 * LISTED
    assert [one["id"] for one in told["certificates"]] == [str(3 * LISTED - 1 - number) for number in range(LISTED)]
