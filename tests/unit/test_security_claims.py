# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What SECURITY.md and the threat model promise has a test or a file beside it, and that exists."""

from __future__ import annotations

import re

import pytest

from tests.support.repository import ROOT

NAMED = re.compile(r"`((?:tests|plugins|docs)/[\w./-]+?)(?:::(\w+))?`")


def promises():
    """Return the entries of SECURITY.md's list of promises, each on one line."""
    text = (ROOT / "SECURITY.md").read_text()
    part = text.partition("## What the collection promises")[2].partition("## What it does not")[0]
    return [" ".join(entry.split()) for entry in re.split(r"^- ", part, flags=re.MULTILINE)[1:]]


@pytest.mark.parametrize("promise", promises(), ids=lambda text: text[:40])
def test_a_promise_names_what_holds_it(promise):
    assert NAMED.search(promise), promise


@pytest.mark.parametrize("page", ["SECURITY.md", "docs/threat-model.md", "docs/privileges.md"])
def test_what_is_named_exists(page):
    found = NAMED.findall((ROOT / page).read_text())

    missing = [
        f"{path}::{name}" for path, name in found
        if not (ROOT / path).exists() or (name and f"def {name}(" not in (ROOT / path).read_text())
    ]  # fmt: skip
    assert missing == []
    assert found


def test_each_row_of_the_threat_model_says_where_it_is_tried_or_that_it_is_not():
    text = (ROOT / "docs/threat-model.md").read_text()
    rows = [line for line in text.splitlines() if re.match(r"\| (?:S|T|R|I|D|E)\d+ \|", line)]

    assert len(rows) >= 20
    assert [row for row in rows if not NAMED.search(row) and "not covered" not in row] == []
    assert {row[2] for row in rows} == set("STRIDE")
