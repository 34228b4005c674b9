# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""HTML of elements: no value comes through as anything but text, whatever it is."""

from __future__ import annotations

import pytest
from ansible_collections.certautopilot.ops.plugins.plugin_utils._markup import NAME, Markup, as_seen, element, text

from tests.support.reports import HOSTILE, read


@pytest.mark.parametrize("value", HOSTILE)
def test_a_value_is_text_and_an_attribute_is_one(value):
    made = read(element("p", value, title=value))

    assert set(made.names) <= {"p", "span"}
    assert made.read == as_seen(value)
    assert made.attributes[0] == ("title", as_seen(value))


def test_what_cannot_be_seen_is_a_code():
    assert read(text("\x1b[1m\x00\u202e\U000e0041\ud800")).read == r"\x1b[1m\x00\u202e\U000e0041\ud800"


def test_no_brace_of_a_value_is_left():
    made = element("p", "{{ 1 }} {% raw %} {# x #}", title="{{ 1 }}")

    assert set(made) & {"{", "}"} == set()


def test_a_long_name_is_cut():
    assert read(text("x" * 2 * NAME, NAME)).read == "x" * NAME + "…"


def test_markup_is_put_in_as_it_is_and_none_is_nothing():
    assert element("p", Markup("<b>a</b>"), None, "<", class_=None) == "<p><b>a</b>&lt;</p>"
