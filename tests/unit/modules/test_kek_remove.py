# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""kek_remove: nothing is destroyed that nobody asked for, and a day passes first."""

from __future__ import annotations


def test_what_is_not_said_is_the_careful_choice(ask):
    options, _result = ask("kek_remove", version=1)

    expected = {
        "grace": 86400,
        "destroy_key": False,
        "check_value": None,
        "backups": (),
    }
    assert expected.items() <= options.items()


def test_what_is_said_reaches_the_verb_in_check_mode_too(ask):
    options, _result = ask("kek_remove", check=True, version=1, destroy_key=True, check_value="0a1b2c")

    expected = {
        "destroy_key": True,
        "check_value": "0a1b2c",
        "check": True,
    }
    assert expected.items() <= options.items()


def test_what_cannot_be_meant_is_refused_before_anything_is_done(ask):
    options, result = ask("kek_remove")

    assert options is None
    assert result["failed"] is True
