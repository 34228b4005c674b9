# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The line of progress: what it says, and that it never says 100% or 0/s when that is not so."""

from __future__ import annotations

import pytest
from ansible_collections.certautopilot.ops.plugins.plugin_utils._progress import (
    duration_text,
    eta_s,
    progress_line,
    rate_text,
)


def line(**numbers):
    usual = {"done": 0, "remaining": 0, "elapsed_s": 0.0, "conflicts": 0, "failures": 0, "version": 2}
    return progress_line(**{**usual, **numbers})


@pytest.mark.parametrize(
    ("numbers", "expected"),
    [
        (
            {"done": 1200, "remaining": 1800, "elapsed_s": 3.0},
            "40%, 1200 of 3000 envelopes, 400/s, ETA 4s, 0 conflicts, 0 failures",
        ),
        (
            {"done": 3000, "elapsed_s": 7.4, "conflicts": 1, "failures": 1},
            "100%, 3000 of 3000 envelopes, 405/s, took 7s, 1 conflict, 1 failure",
        ),
        (
            {"remaining": 5, "elapsed_s": 5.0, "conflicts": 2, "failures": 3},
            "0%, 0 of 5 envelopes, 0/s, ETA unknown, 2 conflicts, 3 failures",
        ),
        ({"elapsed_s": 0.2}, "100%, 0 of 0 envelopes, 0/s, took 0s, 0 conflicts, 0 failures"),
        (
            {"done": 4, "elapsed_s": 1.0, "settling": True},
            "100%, 4 of 4 envelopes, 4.0/s, took 1s, 0 conflicts, 0 failures, waiting for writers to follow",
        ),
    ],
)
def test_a_line_says_percent_envelopes_rate_time_conflicts_and_failures(numbers, expected):
    assert line(**numbers) == f"kek_rotate to version 2: {expected}"


def test_a_rotation_that_is_taken_back_is_named_for_the_version_it_went_to():
    assert line(done=1, remaining=1, elapsed_s=1.0, back=True).startswith("kek_rotate back from version 2: 50%, ")


def test_100_percent_means_that_nothing_remains():
    assert " 99%," in line(done=1_999_999, remaining=1, elapsed_s=60.0)


def test_a_line_is_plain_text():
    assert line(done=7, remaining=9, elapsed_s=2.0, settling=True).isprintable()
    assert line(done=7, remaining=9, elapsed_s=2.0).isascii()


@pytest.mark.parametrize(
    ("done", "remaining", "elapsed_s", "expected"),
    [(100, 50, 10.0, 5.0), (0, 50, 10.0, None), (100, 0, 10.0, 0.0), (0, 0, 0.0, 0.0), (5, 5, 0.0, None)],
)
def test_the_rest_is_reckoned_at_the_rate_so_far(done, remaining, elapsed_s, expected):
    assert eta_s(done, remaining, elapsed_s) == expected


@pytest.mark.parametrize(
    ("done", "elapsed_s", "expected"),
    [(0, 5.0, "0/s"), (2, 5.0, "0.4/s"), (49, 5.0, "9.8/s"), (4100, 10.0, "410/s"), (3, 0.0, "0/s")],
)
def test_a_slow_rate_has_a_decimal(done, elapsed_s, expected):
    assert rate_text(done, elapsed_s) == expected


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [
        (0.4, "0s"), (59.4, "59s"), (59.6, "1m00s"), (185, "3m05s"), (3599.9, "1h00m"),
        (7620, "2h07m"), (86400, "1d00h"), (357_000, "4d03h"), (-1, "0s"),
    ],
)  # fmt: skip
def test_a_duration_is_told_in_its_two_largest_units(seconds, expected):
    assert duration_text(seconds) == expected
