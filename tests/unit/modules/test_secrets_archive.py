# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""secrets_archive from a task's options to its verb: to whom it is encrypted must be said."""

from __future__ import annotations


def test_what_is_not_said_is_the_careful_choice(ask):
    options, _result = ask("secrets_archive", src="/x", dest="/y", name="n", recipients=["age1x"])

    assert {"recipients": ("age1x",), "file_owner": ""}.items() <= options.items()


def test_what_is_said_reaches_the_verb_in_check_mode_too(ask):
    given = {"src": "/x", "dest": "/y", "name": "n", "recipients": ["age1x"], "file_owner": "svc"}
    options, _result = ask("secrets_archive", check=True, **given)

    assert {"file_owner": "svc", "name": "n", "check": True}.items() <= options.items()


def test_what_cannot_be_meant_is_refused_before_anything_is_done(ask):
    options, result = ask("secrets_archive", src="/x", dest="/y", name="n")

    assert options is None
    assert result["failed"] is True
