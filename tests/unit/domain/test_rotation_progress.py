# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How far a rotation is, from the counters in its document."""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest
from ansible_collections.certautopilot.ops.plugins.module_utils._domain.rotation_progress import of

BEGAN = datetime(2026, 5, 1, 9, 0, 0)


@pytest.mark.parametrize(
    ("document", "expected"),
    [
        (
            {"planned": 200, "moved": 50, "turn_started_at": BEGAN, "updated_at": BEGAN + timedelta(seconds=10)},
            {"remaining": 150, "percent": 25, "rate": 5.0, "eta_s": 30},
        ),
        ({"planned": 200, "moved": 0}, {"remaining": 200, "percent": 0, "rate": 0.0, "eta_s": None}),
        ({"planned": 3, "moved": 5}, {"remaining": 0, "percent": 100, "rate": 0.0, "eta_s": 0}),
        ({"planned": 1000, "moved": 999, "remaining": 1}, {"remaining": 1, "percent": 99, "rate": 0.0, "eta_s": None}),
        ({"planned": 9, "moved": 9, "remaining": 0}, {"remaining": 0, "percent": 100, "rate": 0.0, "eta_s": 0}),
        ({}, {"remaining": 0, "percent": 100, "rate": 0.0, "eta_s": 0}),
    ],
)
def test_the_pace_is_that_of_the_present_turn_and_100_percent_means_nothing_remains(document, expected):
    assert of(document) == expected
