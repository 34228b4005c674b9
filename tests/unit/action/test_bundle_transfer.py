# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A bundle on its way through the controller: streamed, private, and gone when it is told to be."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from tests.support.processes import REPOSITORY

FILES = ("records.age", "manifest.json")
FETCHED = {"certautopilot.ops.bundle_transfer": {"state": "fetched", "folder": "{{ there }}/source/bundle"}}
PUT = {"certautopilot.ops.bundle_transfer": {"state": "put", "folder": "{{ there }}/destination/bundle"}}
FORGOTTEN = {"certautopilot.ops.bundle_transfer": {"state": "forgotten"}}


@pytest.fixture
def run(tmp_path):
    """Return a function that runs tasks and returns (exit status, output). Its folder is in tmp_path."""
    source = tmp_path / "source" / "bundle"
    source.mkdir(parents=True)
    for name in FILES:
        (source / name).write_bytes(os.urandom(100_000))
        (source / name).chmod(0o600)
    (tmp_path / "destination").mkdir()

    def run(*tasks):
        play = {"hosts": "localhost", "gather_facts": False, "vars": {"there": str(tmp_path)}, "tasks": list(tasks)}
        (tmp_path / "play.yml").write_text(yaml.safe_dump([play]))
        environment = {
            **os.environ,
            "ANSIBLE_COLLECTIONS_PATH": str(REPOSITORY / ".build/collections"),
            "ANSIBLE_LOCAL_TEMP": str(tmp_path / "controller"),
            "ANSIBLE_PYTHON_INTERPRETER": sys.executable,
        }
        command = [Path(sys.executable).parent / "ansible-playbook", tmp_path / "play.yml"]
        ended = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=60)
        return ended.returncode, ended.stdout + ended.stderr

    return run


def on_the_controller(tmp_path):
    return sorted(path for path in (tmp_path / "controller").glob("certautopilot-bundles-*/**/*"))


def test_x80_what_is_put_is_what_was_fetched_and_only_its_owner_can_read_it_anywhere(tmp_path, run):
    status, output = run(FETCHED, PUT)

    assert status == 0, output
    for name in FILES:
        made = tmp_path / "destination" / "bundle" / name
        assert made.read_bytes() == (tmp_path / "source" / "bundle" / name).read_bytes()
        assert made.stat().st_mode & 0o777 == 0o600
    assert (tmp_path / "destination" / "bundle").stat().st_mode & 0o777 == 0o700
    folders = list((tmp_path / "controller").glob("certautopilot-bundles-*"))
    assert [folder.stat().st_mode & 0o777 for folder in folders] == [0o700]


def test_x80_nothing_is_left_on_the_controller_once_it_is_forgotten(tmp_path, run):
    status, output = run(FETCHED, FORGOTTEN)

    assert status == 0, output
    assert on_the_controller(tmp_path) == []


def test_a_bundle_that_is_there_already_is_no_change(run):
    status, output = run(
        FETCHED, PUT, {**PUT, "register": "again"}, {"ansible.builtin.assert": {"that": "again is not changed"}}
    )

    assert status == 0, output


def test_a_bundle_that_was_not_fetched_is_a_failure_with_its_code(run):
    status, output = run(PUT)

    assert status == 2
    assert "bundle.transfer: the bundle in" in output
