# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""migration_writes from a task's options to its verb: which import is meant may be told, and need not be."""

from __future__ import annotations


def test_what_is_not_said_is_the_careful_choice(ask):
    options, _result = ask("migration_writes")

    assert {"source_install_id": None, "index_file": None}.items() <= options.items()


def test_what_is_said_reaches_the_verb_in_check_mode_too(ask):
    options, _result = ask("migration_writes", check=True, source_install_id="i", index_file="/x")

    assert {"source_install_id": "i", "index_file": "/x", "check": True}.items() <= options.items()


def test_what_cannot_be_meant_is_refused_before_anything_is_done(ask):
    options, result = ask("migration_writes", nonsense=1)

    assert options is None
    assert result["failed"] is True
