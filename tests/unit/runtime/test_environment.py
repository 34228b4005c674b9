# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""An environment in use is kept where it is what the lock says, and named for what is wrong with it elsewhere."""

from __future__ import annotations

import hashlib
import os
import shutil
import sys

import pytest
from ansible_collections.certautopilot.ops.plugins.module_utils._domain.errors import OpsError
from ansible_collections.certautopilot.ops.plugins.module_utils._module.dependencies import LIBRARIES
from ansible_collections.certautopilot.ops.plugins.module_utils._runtime import proof
from ansible_collections.certautopilot.ops.plugins.module_utils._runtime.environment import Wanted, look

from tests.support import tiny_libraries

LOCK = "a lock"
BASE = os.path.realpath(sys._base_executable)


def wanted(lock=LOCK, pythons=(), **versions):
    digest = hashlib.sha256(lock.encode()).hexdigest()
    return Wanted(digest, {**tiny_libraries.LIBRARIES, **versions}, tuple(pythons))


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "runtime"


@pytest.fixture
def place(folder):
    return tiny_libraries.write_environment(folder, LOCK)


def site(place):
    return next(place.glob("lib/*/site-packages"))


def test_what_the_lock_says_is_kept(folder, place):
    found = look(folder, wanted(pythons=["/usr/bin/other", BASE]))

    assert (found.trouble, found.python) == ("", str(place / "bin/python"))
    assert found.version == sys.version.split()[0]


def test_nothing_is_none(folder):
    assert look(folder, wanted()).trouble == "there is none"


@pytest.mark.parametrize("link", [None, "env-gone", "elsewhere", "/tmp"])
def test_a_link_that_leads_to_no_environment_of_ours_is_none(folder, place, link):
    (folder / "elsewhere").mkdir()
    (folder / "current").unlink()
    if link:
        (folder / "current").symlink_to(link)

    assert look(folder, wanted()).trouble == "there is none"


def test_another_lock_and_another_interpreter_are_told_apart(folder, place):
    assert look(folder, wanted(lock="renewed")).trouble == "it has the libraries of another lock"
    assert look(folder, wanted(pythons=["/usr/bin/python3.99"])).trouble == (
        f"it was made by {BASE}, which is none of /usr/bin/python3.99"
    )


def test_one_that_was_not_finished_is_not_used(folder, place):
    (place / "certautopilot-runtime.json").unlink()

    assert look(folder, wanted()).trouble != ""


def test_a_mark_that_others_could_have_written_counts_as_none(folder, place):
    (place / "certautopilot-runtime.json").chmod(0o666)

    assert look(folder, wanted()).trouble != ""


def test_a_folder_into_which_others_write_is_refused(folder, place):
    folder.chmod(0o777)

    with pytest.raises(OpsError) as refused:
        look(folder, wanted())

    assert refused.value.code == "file.permissions"


DAMAGES = {
    "no interpreter": (lambda place: (place / "bin/python").unlink(), "does not run"),
    "interpreter that was removed": (
        lambda place: ((place / "bin/python").unlink(), (place / "bin/python").symlink_to("/gone/python3.11")),
        "does not run",
    ),
    "interpreter that ends": (
        lambda place: ((place / "bin/python").unlink(), (place / "bin/python").symlink_to("/bin/false")),
        "ended with 1",
    ),
    "library that was removed": (lambda place: shutil.rmtree(site(place) / "pyrage"), "of pyrage cannot be read"),
    "library that was forgotten": (
        lambda place: shutil.rmtree(site(place) / "pyrage-1.0.dist-info"), "pyrage is missing",
    ),
    "list of files that was removed": (
        lambda place: (site(place) / "pyrage-1.0.dist-info/RECORD").unlink(), "the list of files of pyrage is missing",
    ),
    "file that was cut": (
        lambda place: (site(place) / "bson/__init__.py").write_text(""), "of pymongo is not what was installed",
    ),
}  # fmt: skip


@pytest.mark.parametrize("damage", DAMAGES)
def test_x76_a_damaged_environment_is_named(folder, place, damage):
    spoil, said = DAMAGES[damage]
    spoil(place)

    trouble = look(folder, wanted()).trouble

    assert trouble.startswith("it is damaged: ")
    assert said in trouble


def test_another_version_than_the_lock_has_is_named(folder, place):
    assert look(folder, wanted(pyrage="2.0")).trouble == "it is damaged: pyrage is 1.0, expected 2.0"


def test_a_library_that_is_whole_and_cannot_be_imported_is_named(folder, place, monkeypatch):
    monkeypatch.setattr(proof, "IMPORTS", ("pyrage", "not_there"))

    assert "not_there cannot be imported (ModuleNotFoundError" in look(folder, wanted()).trouble


def test_what_the_caller_has_in_its_environment_brings_nothing_in(folder, place, monkeypatch, tmp_path):
    (tmp_path / "json.py").write_text("raise SystemExit('from the working folder')")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))

    assert look(folder, wanted()).trouble == ""


def test_every_library_that_a_module_may_need_is_imported_by_the_proof():
    assert {name.partition(".")[0] for name in proof.IMPORTS} == {*LIBRARIES, "bson"}
