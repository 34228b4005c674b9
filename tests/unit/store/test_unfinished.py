# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a run that died left is removed by the next one, and what a living one is writing is not."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from ansible_collections.certautopilot.ops.plugins.module_utils._store import private_files, unfinished

from tests.support.repository import ROOT

SECRET = b"-----BEGIN PRIVATE KEY-----"
WRITING = f"""
import sys, time
sys.path[:0] = [{str(ROOT / ".build" / "collections")!r}]
from pathlib import Path
from ansible_collections.certautopilot.ops.plugins.module_utils._store import unfinished
with unfinished.{{how}}(Path({{folder!r}})) as made:
    path = made if isinstance(made, Path) else made[1]
    target = path / "dump.bson" if path.is_dir() else path
    target.write_bytes({SECRET!r})
    print("writing", flush=True)
    time.sleep(60)
"""
HOW = pytest.mark.parametrize("how", ["file_in", "folder_in"])


@contextlib.contextmanager
def writing(folder, how):
    """Run a process that is in the middle of writing into a folder."""
    line = [sys.executable, "-c", WRITING.format(how=how, folder=str(folder))]
    with subprocess.Popen(line, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout.readline() == "writing\n"
        yield process
        process.kill()


def contents(folder):
    return [path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()]


@HOW
def test_x27_what_a_killed_run_left_is_removed_by_the_next_one(tmp_path, how):
    with writing(tmp_path, how) as process:
        process.send_signal(signal.SIGKILL)
        process.wait()
        left = contents(tmp_path)

        removed = unfinished.remove_dead(tmp_path)

    assert (left, removed, list(tmp_path.iterdir())) == ([SECRET], 1, [])


@HOW
def test_x27_what_a_living_run_is_writing_is_left_alone(tmp_path, how):
    with writing(tmp_path, how):
        removed = unfinished.remove_dead(tmp_path)
        private_files.write_private(tmp_path / "key.pem", b"another")

        assert (removed, sorted(contents(tmp_path))) == (0, sorted([SECRET, b"another"]))


def test_x27_every_private_file_that_is_written_cleans_its_folder(tmp_path):
    with writing(tmp_path, "file_in") as process:
        process.kill()
        process.wait()

        private_files.write_private(tmp_path / "key.pem", b"another")

    assert contents(tmp_path) == [b"another"]


@pytest.mark.parametrize(
    "name", [".key.pem.abcdefgh", unfinished.PREFIX, f"{unfinished.PREFIX}0123456789abcdefg", "key.pem"]
)
def test_files_whose_names_only_look_like_ours_are_left_alone(tmp_path, name):
    (tmp_path / name).write_bytes(b"theirs")

    assert (unfinished.remove_dead(tmp_path), contents(tmp_path)) == (0, [b"theirs"])


def test_a_link_of_that_name_is_neither_followed_nor_a_reason_to_fail(tmp_path):
    victims = tmp_path / "victims"
    victims.mkdir()
    (victims / "kept").write_bytes(b"theirs")
    (tmp_path / f"{unfinished.PREFIX}{'0' * 16}").symlink_to(victims)

    unfinished.remove_dead(tmp_path)

    assert contents(victims) == [b"theirs"]


def test_a_dead_folder_with_a_link_in_it_does_not_take_what_the_link_leads_to_along(tmp_path):
    victims, left = tmp_path / "victims", tmp_path / f"{unfinished.PREFIX}{'0' * 16}"
    victims.mkdir()
    left.mkdir()
    (victims / "kept").write_bytes(b"theirs")
    (left / "link").symlink_to(victims)

    assert (unfinished.remove_dead(tmp_path), contents(tmp_path)) == (1, [b"theirs"])


def test_a_fifo_of_that_name_does_not_hang_the_next_run(tmp_path):
    os.mkfifo(tmp_path / f"{unfinished.PREFIX}{'0' * 16}")

    assert (unfinished.remove_dead(tmp_path), list(tmp_path.iterdir())) == (1, [])


@HOW
def test_a_cleaner_that_comes_between_making_and_locking_costs_a_second_try_only(tmp_path, monkeypatch, how):
    real, first = unfinished.fcntl.flock, iter([True])

    def flock(descriptor, operation):
        if next(first, False):
            for path in unfinished.left_in(tmp_path):
                path.rmdir() if path.is_dir() else path.unlink()
        real(descriptor, operation)

    monkeypatch.setattr(unfinished.fcntl, "flock", flock)

    with getattr(unfinished, how)(tmp_path) as made:
        path = made if isinstance(made, Path) else made[1]
        assert path.exists()
    assert list(tmp_path.iterdir()) == []
