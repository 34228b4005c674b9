# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A module or a worker that crashes leaves no core with the PIN in it; the kernel is asked, not our code."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from ansible_collections.certautopilot.ops.plugins.module_utils._keys.pkcs11 import bootstrap

ROOT = Path(__file__).resolve().parents[3]
# What a process is allowed, read by itself while it has secrets: the soft limit of a core file, and PR_GET_DUMPABLE.
ASKED = (
    "import ctypes, json, os, resource, sys;"
    "allowed = [resource.getrlimit(resource.RLIMIT_CORE)[0], ctypes.CDLL(None).prctl(3, 0, 0, 0, 0)];"
    "sys.stderr.write(json.dumps(allowed) + chr(10))"
)
MODULE = f"""
import json, os, sys
from ansible.module_utils import basic
basic._ANSIBLE_ARGS = json.dumps({{"ANSIBLE_MODULE_ARGS": {{"_ansible_remote_tmp": os.getcwd()}}}}).encode()
basic._ANSIBLE_PROFILE = "legacy"
from dataclasses import dataclass
from ansible_collections.certautopilot.ops.plugins.module_utils._module.base import run_module
@dataclass(frozen=True)
class Options:
    pass
def verb(settings, options, *, check, warn):
    exec({ASKED!r})
    sys.stderr.flush()
    os.abort()
run_module({{}}, Options, verb, installed=False)
"""
WORKER = f"""
{ASKED.replace(";", chr(10))}
sys.stderr.flush()
os.abort()
"""


def crashed(program, tmp_path, *, module=True):
    """Return (what the process was allowed, whether the kernel wrote a core) of a program that aborts."""
    unlimited = "import resource as r; r.setrlimit(r.RLIMIT_CORE, (r.getrlimit(r.RLIMIT_CORE)[1],) * 2)"
    # WHY a process between: only who waits for a process himself is told of its core.
    parent = (
        f"import os, sys\n{unlimited}\npid = os.fork()\n"
        f"if not pid:\n    os.execv(sys.executable, [sys.executable, '-c', {program!r}])\n"
        "status = os.waitpid(pid, 0)[1]\nprint(os.WIFSIGNALED(status), os.WCOREDUMP(status))"
    )
    environment = {**os.environ, "PYTHONPATH": str(ROOT / ".build" / "collections")}
    done = subprocess.run(
        [sys.executable, "-c", parent], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
    )
    assert done.stdout.startswith("True"), done.stderr
    told = [line for line in done.stderr.splitlines() if line.startswith("[")]
    return json.loads(told[0]) if told else None, "True True" in done.stdout


@pytest.fixture
def cores(tmp_path):
    """Skip where this machine writes no core of anybody."""
    if not crashed("import os; os.abort()", tmp_path)[1]:
        pytest.skip("this machine writes no core files at all, so that nothing could be seen")


def test_x29_a_module_that_crashes_is_not_dumped(tmp_path, cores):
    allowed, dumped = crashed(MODULE, tmp_path)

    assert (allowed, dumped) == ([0, 0], False)


def test_x29_a_worker_that_crashes_is_not_dumped(tmp_path, cores):
    # given: a worker's own files, as it gets them, and a crash instead of the first request with the PIN
    sources = {"program": bootstrap.program()}
    started = (
        f"import sys, types, marshal\npaths, sources = marshal.loads({sources['program']!r})\nsys.path[:] = paths\n"
        "package = sys.modules['kek_worker'] = types.ModuleType('kek_worker'); package.__path__ = []\n"
        "for name, source in sources:\n"
        "    module = sys.modules['kek_worker.' + name] = types.ModuleType('kek_worker.' + name)\n"
        "    module.__package__ = 'kek_worker'; setattr(package, name, module)\n"
        "    exec(compile(source, name, 'exec'), module.__dict__)\n"
        f"def crash(_descriptor):\n    exec({WORKER!r})\n"
        "sys.modules['kek_worker.main']._read_frame = crash\nsys.modules['kek_worker.main'].main()\n"
    )

    allowed, dumped = crashed(started, tmp_path)

    assert (allowed, dumped) == ([0, 0], False)
