# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""cert_export: no private key leaves, and no policy is overridden, unless somebody says so."""

from __future__ import annotations


def test_what_is_not_said_is_the_careful_choice(ask):
    options, _result = ask("cert_export", dest="/x")

    expected = {
        "include_keys": False,
        "override_key_export_policy": False,
        "recipients": (),
        "mode": "0600",
        "formats": ("cert.pem", "chain.pem", "fullchain.pem"),
    }
    assert expected.items() <= options.items()


def test_what_is_said_reaches_the_verb_in_check_mode_too(ask):
    options, _result = ask("cert_export", check=True, dest="/x", include_keys=True, names=["web"], mode="0640")

    expected = {
        "include_keys": True,
        "names": ("web",),
        "mode": "0640",
        "check": True,
    }
    assert expected.items() <= options.items()


def test_what_cannot_be_meant_is_refused_before_anything_is_done(ask):
    options, result = ask("cert_export", dest="/x", formats=["key.exe"])

    assert options is None
    assert result["failed"] is True
