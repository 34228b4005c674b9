# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""db_drop from a task's options to its verb: nothing is dropped that was not named three times."""

from __future__ import annotations


def test_what_is_not_said_is_the_careful_choice(ask):
    options, _result = ask("db_drop", confirm="db", install_id="i", source_digest="d")

    assert {"confirm": "db", "install_id": "i", "source_digest": "d", "check": False}.items() <= options.items()


def test_what_is_said_reaches_the_verb_in_check_mode_too(ask):
    options, _result = ask("db_drop", check=True, confirm="other", install_id="i", source_digest="d")

    assert {"confirm": "other", "check": True}.items() <= options.items()


def test_what_cannot_be_meant_is_refused_before_anything_is_done(ask):
    options, result = ask("db_drop", confirm="db", install_id="i")

    assert options is None
    assert result["failed"] is True
