# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a report says of the time in which nothing served."""

from __future__ import annotations

import pytest
from ansible_collections.certautopilot.ops.plugins.filter.migration import freeze_by_cause

BEGAN, ENDED = "2026-05-01T21:00:00.250000+00:00", "2026-05-01T21:00:24.750000+00:00"


def test_of_hosts_side_by_side_the_slowest_counts_and_what_follows_each_other_is_added():
    freeze = freeze_by_cause(BEGAN, ENDED, {"stop": [1.9, 4.0]}, {"reads": [2.25, 0.5, 1.0]})

    assert freeze["by_cause"] == {"stop": 4.0, "reads": 3.8, "rest": 16.8}
    assert freeze["seconds"] == 24.5
    assert freeze["said"] == "24.5 s (stop 4.0, reads 3.8, rest 16.8)"


@pytest.mark.parametrize("unmeasured", [[], [None], [""], ["0"]])
def test_what_was_not_measured_is_in_the_rest_and_not_named(unmeasured):
    freeze = freeze_by_cause(BEGAN, ENDED, {"stop": unmeasured}, {"reads": unmeasured})

    assert freeze["by_cause"]["rest"] == 24.5
    assert freeze["said"] == "24.5 s (rest 24.5)"


def test_numbers_that_templates_made_text_of_are_numbers():
    assert freeze_by_cause(BEGAN, ENDED, {"stop": ["1.5"]}, {"reads": ["2.0", 1]})["by_cause"]["reads"] == 3.0
