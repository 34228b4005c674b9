# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Each module on a target whose Python is too old (X77): found, expected, where, the way out; never a traceback."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support import old_python

FILES = (Path(__file__).parents[3] / "plugins/modules").glob("[!_]*.py")
MODULES = sorted(path.stem for path in FILES if "def main" in path.read_text("utf-8"))
NONE = pytest.param(None, marks=pytest.mark.skip("no Python 3.9 or 3.10 on PATH or with pyenv"), id="none")


def all_modules_on(old, play, **how):
    """Run each module without any option: the interpreter is looked at before the options are."""
    keywords = {"ignore_errors": True, "vars": {"ansible_python_interpreter": old.command}}
    return play(*((module, {}, keywords) for module in MODULES), **how)


def assert_each_says_so(played, old):
    assert len(played.results) == len(MODULES) == 28
    for result in played.results:
        assert result["failed"] is True
        assert result["msg"].endswith(
            f"the interpreter of this module, {old.path}, is Python {old.version}, expected Python 3.11 or newer"
        )
        failure = result["failure"]
        assert (failure["code"], failure["step"], failure["retryable"]) == ("dependency.python_too_old", "", False)
        assert "ansible_python_interpreter" in failure["hint"]
    assert "Traceback" not in played.output


@pytest.mark.parametrize("old", [pytest.param(old, id=old.version) for old in old_python.installed()] or [NONE])
def test_x77_each_module_names_the_old_python_that_runs_it(play, old):
    assert_each_says_so(all_modules_on(old, play), old)


def test_x77_each_module_names_an_old_python_in_check_mode_and_copied_to_the_host_too(play, tmp_path):
    old = old_python.stand_in(tmp_path / "old")

    played = all_modules_on(old, play, arguments=["--check", "--diff", "-vvv"], pipelining=False)

    assert_each_says_so(played, old)
