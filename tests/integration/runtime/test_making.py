# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Environments that are really made, by venv and pip: beside the one in use, proven, swapped in whole or not at all."""

from __future__ import annotations

import hashlib
import os
import signal
import stat
import subprocess
import sys
import time
from pathlib import Path

import pytest
from ansible_collections.certautopilot.ops.plugins.module_utils._domain.errors import OpsError
from ansible_collections.certautopilot.ops.plugins.module_utils._runtime import making
from ansible_collections.certautopilot.ops.plugins.module_utils._runtime.environment import Wanted, look

from tests.support import tiny_libraries

LIBRARIES = tiny_libraries.LIBRARIES
MAKING = Path(__file__).resolve().parents[1] / "processes" / "making.py"


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "runtime"


@pytest.fixture
def brought(tmp_path):
    """Return brought(text): (what is wanted, lock file, wheels), as the role brings them to a host."""

    def bring(text=""):
        private = tmp_path / f"private {text}"
        lock = tiny_libraries.write_wheels(private, text)
        (private / "lock.txt").write_text(lock)
        return Wanted(hashlib.sha256(lock.encode()).hexdigest(), LIBRARIES, ()), private / "lock.txt", private

    return bring


def make(folder, brought):
    wanted, lock_file, wheels = brought
    return making.make(folder, wanted, lock_file=lock_file, wheels=wheels)


def start(folder, brought):
    wanted, lock_file, wheels = brought
    line = [sys.executable, str(MAKING), wanted.lock_sha256, *map(str, (folder, lock_file, wheels))]
    return subprocess.Popen(line, stdout=subprocess.PIPE, text=True,
                            start_new_session=True)  # fmt: skip


def environments(folder):
    return sorted(path.name for path in folder.iterdir() if path.name.startswith("env-"))


def closed(folder):
    """Return what somebody who is neither root nor its group cannot read; such a user runs the service."""
    return [
        path for path in folder.rglob("*")
        if not path.is_symlink() and path.name != ".lock"
        and not path.stat().st_mode & (stat.S_IXOTH if path.is_dir() else stat.S_IROTH)
    ]  # fmt: skip


def text_in(python):
    line = [python, "-I", "-c", "import pyrage; print(pyrage.TEXT)"]
    return subprocess.run(line, capture_output=True, check=True, text=True).stdout.strip()  # runs: python


def test_x76_a_renewed_lock_is_made_beside_what_is_in_use_and_what_was_in_use_stays_until_the_next(folder, brought):
    before = os.umask(0o077)
    try:
        first, second, third = (make(folder, brought(text)) for text in ("one", "two", "three"))
    finally:
        os.umask(before)

    assert text_in(third.python) == "three"
    assert text_in(second.python) == "two"  # a process that was started in it may still import from it
    assert not Path(first.python).exists()
    assert len(environments(folder)) == 2
    assert (folder / "current").resolve() == (folder / third.python).parents[1].resolve()
    assert closed(folder) == []


def test_x76_what_pip_refuses_leaves_the_environment_in_use_as_it_was(folder, brought):
    made = make(folder, brought("one"))
    wanted, lock_file, wheels = brought("two")
    tiny_libraries.write_wheels(wheels, "exchanged on the way")

    with pytest.raises(OpsError) as refused:
        making.make(folder, wanted, lock_file=lock_file, wheels=wheels)

    assert refused.value.code == "runtime.not_installed"
    assert "DO NOT MATCH THE HASHES" in refused.value.message
    assert "runtime" in refused.value.hint
    assert look(folder, brought("one")[0]).python == made.python
    assert len(environments(folder)) == 1


def test_a_lock_that_is_not_the_one_that_was_asked_for_is_refused_before_anything_is_made(folder, brought):
    wanted, lock_file, wheels = brought()
    lock_file.write_text(lock_file.read_text() + "pip==1.0\n")

    with pytest.raises(OpsError) as refused:
        making.make(folder, wanted, lock_file=lock_file, wheels=wheels)

    assert refused.value.code == "runtime.lock_differs"
    assert environments(folder) == []


def test_a_new_environment_that_cannot_be_used_is_never_in_use(folder, brought, monkeypatch):
    monkeypatch.setattr(
        "ansible_collections.certautopilot.ops.plugins.module_utils._runtime.proof.IMPORTS", ("absent",)
    )

    with pytest.raises(OpsError) as refused:
        make(folder, brought())

    assert refused.value.code == "runtime.not_usable"
    assert environments(folder) == []
    assert not os.path.lexists(folder / "current")


def test_two_hosts_of_an_inventory_on_one_machine_make_one_environment(folder, brought):
    both = [start(folder, brought("one")) for _host in range(2)]

    pythons = {process.communicate(timeout=200)[0].strip() for process in both}

    assert [process.returncode for process in both] == [0, 0]
    assert len(pythons) == len(environments(folder)) == 1


def test_what_a_killed_run_began_is_not_used_and_the_next_run_removes_it(folder, brought):
    killed = start(folder, brought("one"))
    deadline = time.monotonic() + 100
    while not (folder.exists() and environments(folder)):
        assert time.monotonic() < deadline
        time.sleep(0.02)
    os.killpg(killed.pid, signal.SIGKILL)
    killed.communicate(timeout=20)
    begun = environments(folder)

    made = make(folder, brought("one"))

    assert text_in(made.python) == "one"
    assert set(begun).isdisjoint(environments(folder))
    assert len(environments(folder)) == 1
