# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""fleet_quiet from a task's options to its verb: longer than a heartbeat is waited."""

from __future__ import annotations


def test_what_is_not_said_is_the_careful_choice(ask):
    options, _result = ask("fleet_quiet")

    expected = {
        "quiet_for": 35,
    }
    assert expected.items() <= options.items()


def test_what_is_said_reaches_the_verb_in_check_mode_too(ask):
    options, _result = ask("fleet_quiet", check=True, quiet_for=90)

    expected = {
        "quiet_for": 90,
        "check": True,
    }
    assert expected.items() <= options.items()


def test_what_cannot_be_meant_is_refused_before_anything_is_done(ask):
    options, result = ask("fleet_quiet", quiet_for="soon")

    assert options is None
    assert result["failed"] is True
