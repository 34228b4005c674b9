# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Parts of paths: harmless whatever the name, and never one for two things."""

from __future__ import annotations

import pytest
from ansible_collections.certautopilot.ops.plugins.module_utils._domain.export_places import Places, is_part, safe_part
from hypothesis import given
from hypothesis import strategies as st

NASTY = st.text(alphabet=st.sampled_from("aA.-_/\\\0 \n:*\u0301\u00e9\u202e\ud800%~"), max_size=12)


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("*.example.com", "wildcard.example.com"),
        ("../../etc/passwd", "_.._etc_passwd"),
        ("..", "unnamed"),
        ("", "unnamed"),
        ("grün & blau", "gr_n_blau"),
        ("a" * 300, "a" * 100),
        ("ends.", "ends"),
        ("NUL.txt", "_NUL.txt"),
        ("com1", "_com1"),
        ("console", "console"),
    ],
)
def test_names_become_one_harmless_part(text, name):
    assert safe_part(text) == name


@given(st.text())
def test_x26_whatever_the_name_it_is_one_part_that_no_file_system_minds(text):
    part = safe_part(text)

    assert is_part(part)
    assert len(part.encode()) <= 101


@given(st.lists(st.tuples(NASTY, NASTY), unique_by=lambda thing: thing[1], max_size=8))
def test_x26_no_two_things_get_one_place_even_without_letter_case(things):
    places = Places(("index.json", "index.csv"))
    for name, _mark in things:
        places.count(name)

    parts = [places.place(name, mark) for name, mark in things]

    assert len({part.lower() for part in parts}) == len(things)
    assert all(is_part(part) and len(part) < 255 for part in parts)
    assert not {part.lower() for part in parts} & {"index.json", "index.csv"}


def test_x26_a_name_that_is_made_to_look_like_anothers_place_gets_another():
    mark = "a" * 24
    places = Places()
    for name in ("web", "WEB", f"web.{mark}", f"WEB.{mark}"):
        places.count(name)

    found = [places.place(name, mark) for name in ("web", f"web.{mark}")]

    assert f"web.{mark}" not in found
    assert len({*found}) == 2


@pytest.mark.parametrize("text", ["", ".", "..", "a/b", "a\0", ".hidden", "a.", "a\n", "é", "a" * 300])
def test_what_is_no_part_of_ours_is_told(text):
    assert not is_part(text)
