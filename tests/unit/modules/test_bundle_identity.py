# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""bundle_identity from a task's options to its verb: one path, and nothing of an installation is read."""

from __future__ import annotations


def test_what_is_not_said_is_the_careful_choice(ask):
    options, _result = ask("bundle_identity", path="/x/identity")

    expected = {
        "path": "/x/identity",
    }
    assert expected.items() <= options.items()
