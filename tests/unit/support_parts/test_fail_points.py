# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The table of moments: each leads to a function, each is used, and what replaces it is seen by whoever imported it."""

from __future__ import annotations

import importlib
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support import fail_points

ROOT = Path(__file__).resolve().parents[3]
PRELUDE = f"""
import importlib, sys
sys.path[:0] = {[str(ROOT / ".build" / "collections"), str(ROOT)]!r}
from tests.support import fail_points
verb = importlib.import_module(fail_points.UTILS + "._verbs.kek_pkcs11_init")
"""


def in_a_process(code):
    return subprocess.run([sys.executable, "-c", PRELUDE + code], capture_output=True, text=True, check=False)


@pytest.mark.parametrize("name", fail_points.FAIL_POINTS)
def test_a_moment_leads_to_a_function_of_the_collection(name):
    owner, function = fail_points.find(name)

    assert callable(getattr(owner, function))
    assert getattr(owner, function).__module__.startswith(fail_points.UTILS)


def test_every_moment_is_used_by_a_test():
    texts = "\n".join(path.read_text(encoding="utf-8") for path in (ROOT / "tests").rglob("test_*.py"))

    assert [name for name in fail_points.FAIL_POINTS if f'"{name}"' not in texts] == []


def test_no_test_leads_to_a_function_by_its_dotted_path():
    path = re.compile(r'"_[a-z]+\.[a-z0-9_.]+:[A-Za-z_.]+"')
    places = [
        f"{script.relative_to(ROOT)}: {found}"
        for script in (ROOT / "tests").rglob("*.py")
        for found in path.findall(script.read_text(encoding="utf-8"))
    ]

    assert places == []


def test_a_moment_that_nobody_named_is_refused():
    with pytest.raises(KeyError):
        fail_points.find("swap_everything")


def test_what_was_imported_by_name_is_replaced_too_and_taken_back(monkeypatch):
    init = importlib.import_module(f"{fail_points.UTILS}._verbs.kek_pkcs11_init")
    owner, function = fail_points.find("make_canary")
    real = getattr(owner, function)

    with monkeypatch.context() as patch:
        fail_points.replace("make_canary", lambda function: ("instead of", function), patch.setattr)
        seen = getattr(owner, function), init.make_canary

    assert seen == (("instead of", real),) * 2
    assert getattr(owner, function) is init.make_canary is real


@pytest.mark.parametrize(("at", "said"), [("before", ""), ("after", "done\n")])
def test_a_process_dies_before_or_after_the_moment_by_a_real_kill(at, said):
    died = in_a_process(f"""
verb.make_canary = fail_points.find("make_canary")[0].make_canary = lambda: print("done", flush=True)
fail_points.kill("make_canary", {at!r})
verb.make_canary()
print("still here", flush=True)
""")

    assert (died.returncode, died.stdout) == (-signal.SIGKILL, said)


def test_a_constant_that_no_module_has_ends_the_process():
    ended = in_a_process('fail_points.set_constants({"NO_SUCH_CONSTANT": 1})')

    assert ended.returncode == 1
    assert "no module of the collection has NO_SUCH_CONSTANT" in ended.stderr
