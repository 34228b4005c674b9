# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""scratch_installation from a task's options to its verb: it is begun, not removed."""

from __future__ import annotations


def test_what_is_not_said_is_the_careful_choice(ask):
    options, _result = ask("scratch_installation")

    expected = {
        "state": "present",
        "of": "",
    }
    assert expected.items() <= options.items()


def test_what_is_said_reaches_the_verb_in_check_mode_too(ask):
    options, _result = ask("scratch_installation", check=True, state="absent")

    expected = {
        "state": "absent",
        "check": True,
    }
    assert expected.items() <= options.items()


def test_what_cannot_be_meant_is_refused_before_anything_is_done(ask):
    options, result = ask("scratch_installation", state="half")

    assert options is None
    assert result["failed"] is True
