# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""secrets.env of the stand-in: read as systemd reads it, not as a shell would."""

from __future__ import annotations

import pytest

from tests.support.service.environment_file import parse


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("A=1\nB = two words \n", {"A": "1", "B": "two words"}),
        ("# A=1\n; B=2\n\nC=3", {"C": "3"}),
        ("A=\nB=''\n", {"A": "", "B": ""}),
        ("A='it is # \\n'\n", {"A": "it is # \\n"}),
        ('A="a \\"b\\" \\$c \\d"\n', {"A": 'a "b" $c \\d'}),
        ('A=it\'s a "test"\n', {"A": 'it\'s a "test"'}),
        ("A=one\\\ntwo\nB=1\n", {"A": "onetwo", "B": "1"}),
        ("A=back\\\\slash\\ \n", {"A": "back\\slash "}),
        ("A=1\nA=2\n", {"A": "2"}),
        ("no assignment\nA=1\n", {"A": "1"}),
        ("A=mongodb://u:p%40x@h/?a=b#c\n", {"A": "mongodb://u:p%40x@h/?a=b#c"}),
        ("# goes on \\\nA=1\nB=2\n", {"B": "2"}),
    ],
)
def test_the_grammar(text, found):
    assert parse(text) == found
