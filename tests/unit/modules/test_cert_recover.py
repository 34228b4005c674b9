# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""cert_recover from a task's options to its verb: nothing that is there is replaced, and no record comes along."""

from __future__ import annotations


def test_what_is_not_said_is_the_careful_choice(ask):
    options, _result = ask("cert_recover", src="/x", names=["web"])

    assert {"existing": "refuse", "references": "refuse", "names": ("web",), "ids": ()}.items() <= options.items()


def test_what_is_said_reaches_the_verb_in_check_mode_too(ask):
    options, _result = ask("cert_recover", check=True, src="/x", ids=["a"], existing="keep", references="bring")

    assert {"existing": "keep", "references": "bring", "ids": ("a",), "check": True}.items() <= options.items()


def test_what_cannot_be_meant_is_refused_before_anything_is_done(ask):
    options, result = ask("cert_recover", src="/x", existing="replace")

    assert options is None
    assert result["failed"] is True
