# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""pkcs11_token from a task's options to its verb: the officer's PIN comes by a file, and by a file only."""

from __future__ import annotations

from ansible_collections.certautopilot.ops.plugins.modules.pkcs11_token import ARGUMENTS


def test_the_file_reaches_the_verb_in_check_mode_too(ask):
    options, _result = ask("pkcs11_token", check=True, so_pin_file="/root/so-pin")

    assert {"so_pin_file": "/root/so-pin", "check": True}.items() <= options.items()


def test_no_option_takes_the_officers_pin_itself():
    assert [name for name in ARGUMENTS if "so_pin" in name] == ["so_pin_file"]


def test_what_is_no_option_is_refused(ask):
    options, result = ask("pkcs11_token", so_pin="1234")

    assert options is None
    assert result["failed"] is True
