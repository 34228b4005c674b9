# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""data_import: a bundle is believed by its digest, and an older one is not taken."""

from __future__ import annotations


def test_what_is_not_said_is_the_careful_choice(ask):
    options, _result = ask("data_import", src="/x", identity_file="/i")

    expected = {
        "trust": "digest",
        "allow_older": False,
        "mode": "import",
        "manifest_sha256": None,
    }
    assert expected.items() <= options.items()


def test_what_is_said_reaches_the_verb_in_check_mode_too(ask):
    options, _result = ask("data_import", check=True, src="/x", identity_file="/i", mode="verify", allow_older=True)

    expected = {
        "mode": "verify",
        "allow_older": True,
        "check": True,
    }
    assert expected.items() <= options.items()


def test_what_cannot_be_meant_is_refused_before_anything_is_done(ask):
    options, result = ask("data_import", src="/x", identity_file="/i", trust="nobody")

    assert options is None
    assert result["failed"] is True
