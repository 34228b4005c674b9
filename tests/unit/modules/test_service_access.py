# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""service_access: what is wrong is refused, and tried as the service would be confined."""

from __future__ import annotations


def test_what_is_not_said_is_the_careful_choice(ask):
    options, _result = ask("service_access")

    expected = {
        "refuse": True,
        "sandbox": True,
        "gather": ("files", "key"),
    }
    assert expected.items() <= options.items()


def test_what_is_said_reaches_the_verb_in_check_mode_too(ask):
    options, _result = ask("service_access", check=True, refuse=False, gather=["files"])

    expected = {
        "refuse": False,
        "gather": ("files",),
        "check": True,
    }
    assert expected.items() <= options.items()


def test_what_cannot_be_meant_is_refused_before_anything_is_done(ask):
    options, result = ask("service_access", gather=["everything"])

    assert options is None
    assert result["failed"] is True
