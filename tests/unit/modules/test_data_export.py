# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""data_export: only the service's own secrets are carried, and it needs to know for whom."""

from __future__ import annotations


def test_what_is_not_said_is_the_careful_choice(ask):
    options, _result = ask("data_export", dest="/x", recipients=["age1x"])

    expected = {
        "recipients": ("age1x",),
        "base": None,
        "carry": ("CERTAUTOPILOT_API_KEY_PEPPER", "CERTAUTOPILOT_JWT_SECRET"),
    }
    assert expected.items() <= options.items()


def test_what_is_said_reaches_the_verb_in_check_mode_too(ask):
    options, _result = ask("data_export", check=True, dest="/x", recipients=["age1x"], carry=[])

    expected = {
        "carry": (),
        "check": True,
    }
    assert expected.items() <= options.items()


def test_what_cannot_be_meant_is_refused_before_anything_is_done(ask):
    options, result = ask("data_export", dest="/x")

    assert options is None
    assert result["failed"] is True
