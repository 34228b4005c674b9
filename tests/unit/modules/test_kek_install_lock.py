# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""kek_install_lock from a task's options to its verb: a database with envelopes is not adopted by itself."""

from __future__ import annotations


def test_what_is_not_said_is_the_careful_choice(ask):
    options, _result = ask("kek_install_lock")

    expected = {
        "adopt": False,
    }
    assert expected.items() <= options.items()


def test_what_is_said_reaches_the_verb_in_check_mode_too(ask):
    options, _result = ask("kek_install_lock", check=True, adopt=True)

    expected = {
        "adopt": True,
        "check": True,
    }
    assert expected.items() <= options.items()


def test_what_cannot_be_meant_is_refused_before_anything_is_done(ask):
    options, result = ask("kek_install_lock", adopt="perhaps")

    assert options is None
    assert result["failed"] is True
