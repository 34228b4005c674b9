# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""kek_rotate: an empty fleet stops it, every wrap is proven, and nothing is downgraded."""

from __future__ import annotations


def test_what_is_not_said_is_the_careful_choice(ask):
    options, _result = ask("kek_rotate", to_version=2)

    expected = {
        "allow_empty_fleet": False,
        "allow_downgrade": False,
        "prove_wraps": "all",
        "state": "rotated",
        "stop_before": "none",
    }
    assert expected.items() <= options.items()


def test_what_is_said_reaches_the_verb_in_check_mode_too(ask):
    options, _result = ask("kek_rotate", check=True, to_version=2, stop_before="swap", workers=4)

    expected = {
        "stop_before": "swap",
        "workers": 4,
        "check": True,
    }
    assert expected.items() <= options.items()


def test_what_cannot_be_meant_is_refused_before_anything_is_done(ask):
    options, result = ask("kek_rotate", to_version=2, state="spun")

    assert options is None
    assert result["failed"] is True
