# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Lists of places say how many they leave out."""

from __future__ import annotations

import pytest
from ansible_collections.certautopilot.ops.plugins.module_utils._domain.listing import SHOWN, listed


@pytest.mark.parametrize(
    ("places", "text"),
    [
        ([], ""),
        (["a"], "a"),
        (["a", "b", "c"], "a, b, c"),
        ([str(n) for n in range(SHOWN)], "0, 1, 2, 3, 4, 5, 6, 7, 8, 9"),
        ([str(n) for n in range(SHOWN + 3)], "0, 1, 2, 3, 4, 5, 6, 7, 8, 9 and 3 more"),
    ],
)
def test_what_is_left_out_is_counted(places, text):
    assert listed(places) == text
