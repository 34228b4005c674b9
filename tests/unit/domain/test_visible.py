# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What moves a cursor, turns letters round or begins a line is a code; what people can read stays as it is."""

from __future__ import annotations

import pytest
from ansible_collections.certautopilot.ops.plugins.module_utils._domain.visible import LAYOUT, visible


@pytest.mark.parametrize(
    ("hostile", "shown"),
    [
        ("\x1b[2J", r"\x1b[2J"),
        ("\x9b31m", r"\x9b31m"),  # CSI in one character, which a JSON dump lets through
        ("a\nok: [host]", r"a\nok: [host]"),
        ("a\rb\tc\x7f\x00", r"a\rb\tc\x7f\x00"),
        ("gpj\u202egnp.exe", r"gpj\u202egnp.exe"),
        ("a\u2028b\u2066c\ufeff", r"a\u2028b\u2066c\ufeff"),
        ("\ud800\U000e0041", r"\ud800\U000e0041"),
    ],
)
def test_x28_what_nobody_can_see_is_a_code(hostile, shown):
    assert visible(hostile) == shown
    assert visible(shown) == shown


def test_readable_text_of_any_script_stays_as_it_is():
    text = "Zürich, 東京, القاهرة, naïve, 50 % → 5"

    assert visible(text) == text


def test_lines_stay_where_they_are_asked_for():
    assert visible("a\n\tb\x1b", keep=LAYOUT) == "a\n\tb\\x1b"
