# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""db_backup_check from a task's options to its verb: every envelope is opened unless somebody says otherwise."""

from __future__ import annotations


def test_what_is_not_said_is_the_careful_choice(ask):
    options, _result = ask("db_backup_check", src="/x")

    assert {"opened": True, "manifest_sha256": None, "install_id": None, "escrow_file": None}.items() <= options.items()


def test_what_is_said_reaches_the_verb_in_check_mode_too(ask):
    options, _result = ask("db_backup_check", check=True, src="/x", opened=False, install_id="i", manifest_sha256="a")

    assert {"opened": False, "install_id": "i", "manifest_sha256": "a", "check": True}.items() <= options.items()


def test_what_cannot_be_meant_is_refused_before_anything_is_done(ask):
    options, result = ask("db_backup_check", opened=True)

    assert options is None
    assert result["failed"] is True
