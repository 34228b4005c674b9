# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""pkcs11_info from a task's options to its verb: no key of the token is made unless somebody says so."""

from __future__ import annotations


def test_what_is_not_said_is_the_careful_choice(ask):
    options, _result = ask("pkcs11_info")

    assert {"login": True, "token_key": False, "parallel": (1, 2, 4, 8), "seconds": 1}.items() <= options.items()


def test_what_is_said_reaches_the_verb_in_check_mode_too(ask):
    options, _result = ask("pkcs11_info", check=True, login=False, parallel=[1], seconds=3)

    assert {"login": False, "parallel": (1,), "seconds": 3, "check": True}.items() <= options.items()


def test_what_cannot_be_meant_is_refused_before_anything_is_done(ask):
    options, result = ask("pkcs11_info", parallel=["many"])

    assert options is None
    assert result["failed"] is True
