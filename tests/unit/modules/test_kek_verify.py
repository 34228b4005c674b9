# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""kek_verify from a task's options to its verb: an empty fleet is not ready, and nobody is waited for."""

from __future__ import annotations


def test_what_is_not_said_is_the_careful_choice(ask):
    options, _result = ask("kek_verify")

    expected = {
        "target": None,
        "allow_empty_fleet": False,
        "wait_timeout": 0,
    }
    assert expected.items() <= options.items()


def test_what_is_said_reaches_the_verb_in_check_mode_too(ask):
    options, _result = ask("kek_verify", check=True, target=3, wait_timeout=60)

    expected = {
        "target": 3,
        "wait_timeout": 60,
        "check": True,
    }
    assert expected.items() <= options.items()


def test_what_cannot_be_meant_is_refused_before_anything_is_done(ask):
    options, result = ask("kek_verify", target="next")

    assert options is None
    assert result["failed"] is True
