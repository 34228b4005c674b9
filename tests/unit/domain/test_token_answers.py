# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How many processes are recommended for rates that were measured."""

from __future__ import annotations

import pytest
from ansible_collections.certautopilot.ops.plugins.module_utils._domain.token_answers import recommended


@pytest.mark.parametrize(
    ("rates", "cap", "expected"),
    [
        ({1: 359, 2: 738, 4: 1500, 8: 2842}, None, 8),
        ({1: 900, 2: 950, 4: 990, 8: 1000}, None, 1),  # nine tenths of the best are enough
        ({1: 500, 2: 1000, 4: 1000, 8: 1000}, None, 2),
        ({1: 359, 2: 738, 4: 1500}, 4, 2),  # two sessions are left to the service
        ({1: 359}, 1, 1),
        ({}, None, 1),
        ({1: 0.0, 2: 0.0}, None, 1),
    ],
)
def test_the_fewest_that_reach_nine_tenths_of_the_best_rate(rates, cap, expected):
    assert recommended(rates, session_cap=cap) == expected
