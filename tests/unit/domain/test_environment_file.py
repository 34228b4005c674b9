# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""secrets.env: what systemd would read, a refusal for every line that it would drop in silence, lines it reads back."""

from __future__ import annotations

import pytest
from ansible_collections.certautopilot.ops.plugins.module_utils._domain.environment_file import (
    differing_names,
    format_assignments,
    parse_assignments,
)
from ansible_collections.certautopilot.ops.plugins.module_utils._domain.errors import OpsError
from hypothesis import given
from hypothesis import strategies as st

from tests.support.service import environment_file as as_the_service_reads_it

READ_AS_SYSTEMD_DOES = [
    ("A=1\nB=2\n", {"A": "1", "B": "2"}),
    ("A=1", {"A": "1"}),
    ("A=1\r\nB=2\r\n", {"A": "1", "B": "2"}),
    ("", {}),
    ("\n  \n# note\n; note\n  # A=0\nA=1\n", {"A": "1"}),
    ("# a \\ comment\nA=1", {"A": "1"}),
    ("A=\u00a0one\u3000", {"A": "\u00a0one\u3000"}),
    ("A=one\v", {"A": "one\v"}),
    ("A='x\ry'", {"A": "x\ry"}),
    ("A=", {"A": ""}),
    ("A=   ", {"A": ""}),
    ("A = 1", {"A": "1"}),
    ("  A=  two words  \n", {"A": "two words"}),
    ("A=x=y==", {"A": "x=y=="}),
    ("A=1 # not a comment", {"A": "1 # not a comment"}),
    ('A=it\'s "so"', {"A": 'it\'s "so"'}),
    ("A='single $x \\n \"'", {"A": 'single $x \\n "'}),
    ('A="double \\"q\\" \\$x \\\\ \\n"', {"A": 'double "q" $x \\ \\n'}),
    ("A=' kept '", {"A": " kept "}),
    ("A='two\nlines'\nB=2", {"A": "two\nlines", "B": "2"}),
    ('A="one\\\nline"', {"A": "oneline"}),
    ("A=one\\\nline\nB=2", {"A": "oneline", "B": "2"}),
    ("A=a\\ b\\ ", {"A": "a b "}),
    ("A='a' \"b\"", {"A": "ab"}),
    ("A=mongodb://u:p%40ss@h/db?w=1&j=true", {"A": "mongodb://u:p%40ss@h/db?w=1&j=true"}),
]


@pytest.mark.parametrize(("text", "found"), READ_AS_SYSTEMD_DOES)
def test_a_file_is_read_as_systemd_reads_it(text, found):
    assert parse_assignments(text, origin="secrets.env") == found


SILENTLY_DROPPED_BY_SYSTEMD = [
    ("export A=hidden-value", "line 1"),
    ("A=1\nhidden-value\n", "line 2"),
    ("A=1\n\n1B=hidden-value\n", "line 3"),
    ("A B=hidden-value", "line 1"),
    ("=hidden-value", "line 1"),
    ("A=1\nA=hidden-value", "A is given twice"),
    ("A='hidden-value", "line 1"),
    ('A=1\nB="hidden-value\\"', "line 2"),
    ("A=hidden-value\0", "NUL"),
]


@pytest.mark.parametrize(("text", "place"), SILENTLY_DROPPED_BY_SYSTEMD)
def test_t11_a_line_that_is_no_assignment_is_refused_by_its_place_and_not_shown(text, place):
    with pytest.raises(OpsError) as caught:
        parse_assignments(text, origin="secrets.env")

    assert caught.value.code == "file.grammar"
    assert place in caught.value.message
    assert "hidden-value" not in str(caught.value.as_result())


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("A=1\n# a comment \\\nB=hidden-value", "line 2"),
        ("# a comment \\\r\nB=hidden-value", "line 1"),
        ("; a comment \\", "line 1"),
        ("A=hidden-value\\\r\nB=2", "line 1"),
        ("A=1\nB=hidden-value\rC=3", "line 2"),
        ("# note\rA=hidden-value", "line 1"),
        ("\u00a0A=hidden-value", "line 1"),
        ("A=1\n\u3000B=hidden-value", "line 2"),
        ("A\u00a0=hidden-value", "line 1"),
        ("\vA=hidden-value", "line 1"),
    ],
)
def test_x86_a_line_that_systemd_reads_in_another_way_or_in_two_is_refused_by_its_number(text, line):
    with pytest.raises(OpsError) as caught:
        parse_assignments(text, origin="secrets.env")

    assert (caught.value.code, line in caught.value.message) == ("file.grammar", True)
    assert "hidden-value" not in str(caught.value.as_result())


NAMES = st.from_regex(r"[A-Za-z_][A-Za-z0-9_]{0,8}", fullmatch=True)
VALUES = st.text(st.characters(blacklist_categories=["Cs"], blacklist_characters="\0"), max_size=20)


@given(st.dictionaries(NAMES, VALUES | st.text("ab\\\"'$`#;= \t\n", max_size=12), max_size=4))
def test_what_is_written_is_read_back_by_us_and_by_the_stand_in_of_the_service(values):
    text = format_assignments(values)

    assert parse_assignments(text, origin="secrets.env") == values
    assert as_the_service_reads_it.parse(text) == values
    assert differing_names(text, values, origin="secrets.env") == []


def test_what_needs_no_quotes_has_none():
    assert format_assignments({"B": "mongodb://u:p%40ss@h/db?w=1&j=true", "A": ""}) == (
        'B=mongodb://u:p%40ss@h/db?w=1&j=true\nA=""\n'
    )


@pytest.mark.parametrize("values", [{"1A": "hidden-value"}, {"A B": "hidden-value"}, {"A": "hidden-value\0"}])
def test_what_no_environment_can_hold_is_not_written(values):
    with pytest.raises(OpsError) as caught:
        format_assignments(values)

    assert caught.value.code == "file.grammar"
    assert "hidden-value" not in str(caught.value.as_result())


@given(st.dictionaries(NAMES, VALUES, min_size=1, max_size=4), VALUES)
def test_exactly_the_names_of_other_values_differ(values, other):
    changed = next(iter(values))
    wanted = {**values, changed: other, "Not_in_the_file": "1"}
    text = format_assignments({name: value for name, value in values.items() if name != "Not_in_the_file"})

    expected = [name for name in wanted if name == "Not_in_the_file" or (name == changed and values[name] != other)]
    assert differing_names(text, wanted, origin="secrets.env") == expected
