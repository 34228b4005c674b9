# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""service_unit_info from a task's options to its verb: the product's unit is looked at."""

from __future__ import annotations


def test_what_is_not_said_is_the_careful_choice(ask):
    options, _result = ask("service_unit_info")

    expected = {
        "unit": "certautopilot.service",
    }
    assert expected.items() <= options.items()


def test_what_is_said_reaches_the_verb_in_check_mode_too(ask):
    options, _result = ask("service_unit_info", check=True, unit="other.service")

    expected = {
        "unit": "other.service",
        "check": True,
    }
    assert expected.items() <= options.items()
