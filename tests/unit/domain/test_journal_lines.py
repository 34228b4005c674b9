# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Lines of the journal as they are shown: nothing secret, nothing that moves a cursor, nothing endless."""

from __future__ import annotations

import base64
import json

import pytest
from ansible_collections.certautopilot.ops.plugins.module_utils._domain.journal_lines import (
    LONGEST,
    journal_lines,
    shown,
)
from ansible_collections.certautopilot.ops.plugins.module_utils._domain.secret_forms import (
    Mask,
    raw_values,
    values_to_hide,
)

SECRET = 'p@ss"word/12'


def entry(message, **more):
    fields = {"__REALTIME_TIMESTAMP": "1777626000000000", "SYSLOG_IDENTIFIER": "cap", "_PID": "42", "MESSAGE": message}
    return json.dumps({**fields, **more})


def lines(*messages, mask=str):
    return journal_lines("\n".join(entry(message) for message in messages), mask)


def test_a_line_tells_when_who_and_what():
    assert lines("ready") == ("2026-05-01T09:00:00Z cap[42]: ready",)


def test_what_journalctl_prints_for_bytes_for_long_ones_and_for_none():
    odd = lines([111, 107, 255], None, ["twice", "said"])

    assert odd[0].endswith(": ok�")
    assert "see journalctl" in odd[1]
    assert odd[2].endswith(": twice said")
    assert journal_lines("-- No entries --\n[]\n\n", str) == ()
    assert journal_lines(entry("x", __REALTIME_TIMESTAMP="soon", SYSLOG_IDENTIFIER=None, _PID=None), str) == ("? ?: x",)


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("a\x1b[2Jb", "a\\x1b[2Jb"), ("a\nb\r\tc", "a\\nb\\r\\tc"), ("\x00\x7f\x9b", "\\x00\\x7f\\x9b"),
        ("\u202eabc\u2066", "\\u202eabc\\u2066"), ("\u2028", "\\u2028"), ("\udcff", "\\udcff"),
        ("\U000e0041", "\\U000e0041"), ("Grüße, 世界", "Grüße, 世界"),
    ],
)  # fmt: skip
def test_what_moves_a_cursor_or_hides_text_is_shown_as_its_code(text, wanted):
    assert shown(text) == wanted


def test_a_long_line_is_cut_and_says_so():
    assert shown("x" * (LONGEST + 7)) == f"{'x' * LONGEST}… (7 more characters)"


def test_a_secret_is_hidden_in_each_form_that_a_log_may_have():
    forms = [
        SECRET,
        "p%40ss%22word%2F12",
        'p@ss\\"word/12',
        base64.b64encode(SECRET.encode()).decode(),
        SECRET.encode().hex(),
    ]

    hidden = lines(*[f"before {form} after" for form in forms], mask=Mask({SECRET}))

    assert [line.split(": ")[1].rstrip("=") for line in hidden] == ["before ******** after"] * 5


def test_a_secret_is_found_before_the_line_is_cut_or_escaped():
    secret = "begin\x01" + "s" * 40

    (line,) = lines("x" * (LONGEST - 30) + secret, mask=Mask({secret}))

    assert ("sss" in line, "begin" in line) == (False, False)


def test_a_line_with_a_short_secret_is_left_out_and_one_with_a_longer_word_is_not():
    mask = Mask({"4711"})

    assert mask("pin 4711, wrong") == "(a line that holds a secret is left out)"
    assert mask("pid 47110") == "pid 47110"


def test_nothing_to_hide_hides_nothing():
    assert Mask(())("pin 4711") == "pin 4711"


def test_what_is_hidden_of_a_file_is_every_value_but_paths_and_short_words():
    values = values_to_hide({
        "SOFTHSM2_CONF": "/etc/softhsm2.conf", "LEVEL": "debug", "LABEL": "kek-token", "X_PIN": "47",
        "X_DATABASE_URI": "mongodb://u:p%40ss@h/", "X_SECRET": "one line\nanother", "EMPTY_KEY": "",
    })  # fmt: skip

    assert values == {
        "kek-token",
        "47",
        "mongodb://u:p%40ss@h/",
        "p%40ss",
        "p@ss",
        "one line\nanother",
        "one line",
        "another",
    }


def test_a_file_that_nobody_can_read_is_hidden_piece_by_piece():
    broken = f"export X_SECRET=\"{SECRET}\n# a comment\nlost-piece-of-a-value\nY_PIN='1234'\nLEVEL=info\n"

    hidden = values_to_hide(raw_values(broken))

    assert {f'"{SECRET}', "lost-piece-of-a-value", "1234"} <= hidden
    assert not {"info", "# a comment"} & hidden
