# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""db_restore from a task's options to its verb: a folder is needed, and nothing else is guessed."""

from __future__ import annotations


def test_what_is_not_said_is_the_careful_choice(ask):
    options, _result = ask("db_restore", src="/x")

    expected = {
        "identity_file": None,
        "from_database": None,
        "manifest_sha256": None,
    }
    assert expected.items() <= options.items()


def test_what_is_said_reaches_the_verb_in_check_mode_too(ask):
    options, _result = ask("db_restore", check=True, src="/x", from_database="old")

    expected = {
        "from_database": "old",
        "check": True,
    }
    assert expected.items() <= options.items()


def test_what_cannot_be_meant_is_refused_before_anything_is_done(ask):
    options, result = ask("db_restore")

    assert options is None
    assert result["failed"] is True
