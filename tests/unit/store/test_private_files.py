# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One reader of private files: a PIN, a URI, a passphrase and an age identity are refused for the same reasons."""

from __future__ import annotations

import pyrage
import pytest
from ansible_collections.certautopilot.ops.plugins.module_utils._domain.errors import OpsError
from ansible_collections.certautopilot.ops.plugins.module_utils._store import private_files
from ansible_collections.certautopilot.ops.plugins.module_utils._store.age_keys import identity_from


def code_of(read, path):
    with pytest.raises(OpsError) as refusal:
        read(path)
    return refusal.value.code


def write(path, content, mode=0o600):
    path.touch(mode=0o600)
    path.write_bytes(content)
    path.chmod(mode)
    return path


@pytest.mark.parametrize(
    ("content", "read"),
    [
        (b"value", b"value"),
        (b"value\n", b"value"),
        (b"value\r\n", b"value"),
        (b"value\n\n", b"value\n"),
        (b" value ", b" value "),
        (b"\xff\x00", b"\xff\x00"),
        (b"", b""),
    ],
)
def test_one_line_end_is_not_part_of_the_value_and_everything_else_is(tmp_path, content, read):
    assert private_files.read_private(write(tmp_path / "file", content)) == read


@pytest.mark.parametrize("mode", [0o604, 0o640, 0o660, 0o777])
@pytest.mark.parametrize("reader", [private_files.read_private, private_files.read_private_text, identity_from])
def test_a_file_that_others_may_read_is_refused_whoever_reads_it(tmp_path, reader, mode):
    path = write(tmp_path / "file", str(pyrage.x25519.Identity.generate()).encode(), mode)

    assert code_of(reader, path) == "file.permissions"


@pytest.mark.parametrize(
    ("reader", "code"),
    [
        (private_files.read_private, "file.missing"),
        (private_files.read_private_text, "file.missing"),
        (identity_from, "bundle.identity_missing"),
    ],
)
def test_a_missing_file_keeps_the_code_of_what_was_meant_to_be_in_it(tmp_path, reader, code):
    assert code_of(reader, tmp_path / "nowhere") == code


@pytest.mark.parametrize("reader", [private_files.read_private, private_files.read_private_text, identity_from])
def test_a_folder_is_no_file_and_no_surprise(tmp_path, reader):
    assert code_of(reader, tmp_path) == "file.kind"


@pytest.mark.parametrize("content", [b"", b"\n", b"  \n", b"\t"])
def test_an_empty_file_has_the_code_that_its_reader_gives(tmp_path, content):
    path = write(tmp_path / "file", content)

    assert code_of(lambda p: private_files.read_private(p, empty_code="passphrase.empty"), path) == "passphrase.empty"


def test_bytes_that_are_no_text_are_unreadable_as_text_and_are_not_shown(tmp_path):
    path = write(tmp_path / "file", b"secret\xff")

    with pytest.raises(OpsError) as refusal:
        private_files.read_private_text(path)

    assert refusal.value.code == "file.unreadable"
    assert "secret" not in str(refusal.value) + str(refusal.value.__cause__)


def test_x22_what_another_run_appended_meanwhile_is_not_appended_again(tmp_path):
    path = write(tmp_path / "secrets.env", b"A=1\nPEPPER=grain\n", 0o600)

    private_files.append_assignments(path, {"PEPPER": "grain", "JWT": "x"})
    once = path.read_bytes()
    private_files.append_assignments(path, {"PEPPER": "grain", "JWT": "x"})

    assert (once, path.read_bytes()) == (b"A=1\nPEPPER=grain\nJWT=x\n", once)


def test_x22_another_value_that_came_meanwhile_is_a_conflict_and_shows_neither(tmp_path):
    path = write(tmp_path / "secrets.env", b"PEPPER=theirs\n", 0o600)

    with pytest.raises(OpsError) as refusal:
        private_files.append_assignments(path, {"PEPPER": "ours"})

    assert (refusal.value.code, path.read_bytes()) == ("file.conflict", b"PEPPER=theirs\n")
    assert "ours" not in str(refusal.value)
    assert "theirs" not in str(refusal.value)


@pytest.mark.parametrize("end", [b"\\", b"\\\n", b"\\\r\n", b"# note \\\n"])
def test_x86_nothing_is_appended_to_a_file_whose_last_line_would_go_on_in_it(tmp_path, end):
    path = write(tmp_path / "secrets.env", b"A=1\nB=2" + end, 0o600)
    before = path.read_bytes()

    with pytest.raises(OpsError) as refusal:
        private_files.append_assignments(path, {"C": "3"})

    assert (refusal.value.code, path.read_bytes()) == ("file.grammar", before)
