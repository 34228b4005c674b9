# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The index of an export: written and read back, and what goes and stays between two runs."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from ansible_collections.certautopilot.ops.plugins.module_utils._domain.certificate_source import Problem
from ansible_collections.certautopilot.ops.plugins.module_utils._domain.export_index import (
    FAILED,
    Entry,
    FileEntry,
    Index,
    as_json,
    cell,
    merged,
    parse,
    stale,
)

KEY, CERT = FileEntry("aa"), FileEntry("bb", "label")
ONE = Entry(
    "1", "p", "web", "one", "web/one", "written", {"key.pem": KEY, "cert.pem": CERT}, fingerprint="f1", has_key=True
)
TWO = replace(ONE, id="2", name="two", folder="web/two", problems=(Problem("certificate.pending", "not yet"),))
BEFORE = Index("here", (ONE, TWO))


def after(*entries, chosen=("1", "2"), chosen_by="", is_whole=True):
    index = merged(BEFORE, Index("here", entries), chosen=frozenset(chosen), chosen_by=chosen_by, is_whole=is_whole)
    return {entry.id: entry for entry in index.entries}, [f"{a}/{b}" for a, b, _file in stale(BEFORE, index)]


def test_an_index_is_read_back_as_it_was_written():
    assert parse(as_json(BEFORE)) == BEFORE
    assert parse(as_json(Index("", ()))) == Index("", ())


@pytest.mark.parametrize(
    "change",
    [
        lambda one: one.update(format="another"),
        lambda one: one.pop("source"),
        lambda one: one["certificates"].append(7),
        lambda one: one["certificates"][0].update(folder="../x"),
        lambda one: one["certificates"][0].update(folder="a/b/c"),
        lambda one: one["certificates"][0].update(folder="a"),
        lambda one: one["certificates"][0].update(files={"../../x": {"sha256": ""}}),
        lambda one: one["certificates"][0].update(files=["x"]),
        lambda one: one["certificates"][0].update(problems=7),
    ],
)
def test_what_is_no_index_of_ours_is_told(change):
    found = json.loads(as_json(BEFORE))
    change(found)

    with pytest.raises(ValueError):  # noqa: PT011 - whatever is wrong with it
        parse(json.dumps(found).encode())


@pytest.mark.parametrize("content", [b"", b"\xff", b"[]", b"null", b"[" * 100000])
def test_garbage_is_no_index(content):
    with pytest.raises(ValueError):  # noqa: PT011 - as above
        parse(content)


def test_a_file_stays_while_its_certificate_is_the_same_whatever_was_asked_for():
    entries, gone = after(replace(ONE, files={"cert.pem": CERT}, has_key=False), TWO)

    assert (set(entries["1"].files), entries["1"].has_key, gone) == ({"key.pem", "cert.pem"}, True, [])


def test_x92_a_file_goes_when_its_certificate_is_another_or_elsewhere():
    _entries, replaced = after(replace(ONE, files={"cert.pem": CERT}, fingerprint="f2"), TWO)
    _entries, moved = after(replace(ONE, folder="web/one.1"), TWO)
    _entries, taken = after(replace(ONE, id="3", files={"cert.pem": CERT}), TWO)

    assert (replaced, taken) == (["web/one/key.pem"], ["web/one/key.pem"])
    assert sorted(moved) == ["web/one/cert.pem", "web/one/key.pem"]


def test_what_failed_this_time_keeps_what_it_had():
    entries, gone = after(replace(ONE, outcome=FAILED, files={}, fingerprint=""), TWO)

    assert (entries["1"].outcome, set(entries["1"].files), gone) == (FAILED, {"key.pem", "cert.pem"}, [])


@pytest.mark.parametrize(
    ("options", "stays"),
    [
        ({}, False),
        ({"is_whole": False}, True),
        ({"chosen_by": "others"}, True),
    ],
)
def test_x92_what_was_not_looked_at_stays_unless_everything_was_looked_at(options, stays):
    entries, gone = after(TWO, chosen=("2",), **options)

    assert ("1" in entries, gone == []) == (stays, stays)


@pytest.mark.parametrize(
    ("text", "shown"),
    [("=1", "'=1"), ("+1", "'+1"), ("-1", "'-1"), ("@a", "'@a"), (" =1", "' =1"), ("\t=1", "'\ufffd=1"), ("a=1", "a=1"),
     ("", "")],
)  # fmt: skip
def test_a_cell_is_shown_and_not_run(text, shown):
    assert cell(text) == shown


def test_a_file_that_a_killed_run_was_to_write_is_not_taken_for_one_that_it_wrote():
    planned = replace(ONE, files={"cert.pem": CERT, "key.pem": FileEntry("")})
    before = Index("here", (planned,))
    now = replace(ONE, files={"cert.pem": CERT}, has_key=False)

    index = merged(before, Index("here", (now,)), chosen=frozenset("1"), chosen_by="", is_whole=True)

    assert set(index.entries[0].files) == {"cert.pem"}
    assert [(name, file.sha256) for _folder, name, file in stale(before, index)] == [("key.pem", "")]


def test_what_moved_and_has_a_problem_keeps_its_old_folder_until_the_problem_is_gone():
    entries, gone = after(replace(ONE, folder="web/one.1", files={}, problems=TWO.problems), TWO)

    assert (entries["1"].folder, gone) == ("web/one.1", [])
