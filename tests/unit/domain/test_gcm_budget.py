# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The GCM budget: the larger count rules, a warning at half, a refusal at nine tenths."""

from __future__ import annotations

import pytest
from ansible_collections.certautopilot.ops.plugins.module_utils._domain import gcm_budget
from ansible_collections.certautopilot.ops.plugins.module_utils._domain.errors import OpsError


@pytest.mark.parametrize(("counted", "standing", "used"), [(5, 3, 5), (0, 900, 900), (0, 0, 0)])
def test_the_larger_count_rules(counted, standing, used):
    assert gcm_budget.spent(counted, standing) == used


@pytest.mark.parametrize(
    ("used", "planned", "warned"),
    [(0, 10, False), (2**31, 0, False), (2**31, 1, True), (gcm_budget.REFUSE_AT, 0, True)],
)
def test_a_warning_comes_at_half_of_the_limit(used, planned, warned):
    assert (gcm_budget.judge(1, used, planned) is not None) == warned


def test_nine_tenths_of_the_limit_are_refused():
    with pytest.raises(OpsError) as refusal:
        gcm_budget.judge(1, gcm_budget.REFUSE_AT, 1)

    assert refusal.value.code == "budget.exhausted"
