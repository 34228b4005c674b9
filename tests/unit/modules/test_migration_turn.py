# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""migration_turn from a task's options to its verb: it takes a turn for four hours, and takes over nobody's."""

from __future__ import annotations


def test_what_is_not_said_is_the_careful_choice(ask):
    options, _result = ask("migration_turn")

    expected = {
        "state": "taken",
        "expires_after": 14400,
        "take_over": "",
    }
    assert expected.items() <= options.items()


def test_what_is_said_reaches_the_verb_in_check_mode_too(ask):
    options, _result = ask("migration_turn", check=True, state="given_back", token=7, run="r")

    expected = {
        "state": "given_back",
        "token": 7,
        "run": "r",
        "check": True,
    }
    assert expected.items() <= options.items()


def test_what_cannot_be_meant_is_refused_before_anything_is_done(ask):
    options, result = ask("migration_turn", state="stolen")

    assert options is None
    assert result["failed"] is True
