# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A module that is told to end unwinds: it answers, gives back what it holds, and leaves nothing half written."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import threading
import time

import pytest
from ansible_collections.certautopilot.ops.plugins.module_utils._module import signals

from tests.support.repository import ROOT

MODULE = f"""
import sys, time
sys.path[:0] = [{str(ROOT / ".build" / "collections")!r}]
import json
from dataclasses import dataclass
from pathlib import Path
from ansible.module_utils import basic
from ansible_collections.certautopilot.ops.plugins.module_utils._module.base import run_module
from ansible_collections.certautopilot.ops.plugins.module_utils._store import unfinished

basic._ANSIBLE_ARGS = json.dumps({{{{"ANSIBLE_MODULE_ARGS": {{{{}}}}}}}}).encode()
basic._ANSIBLE_PROFILE = "legacy"

@dataclass
class Options:
    pass

def verb(settings, options, *, check, warn):
    with unfinished.file_in(Path({{folder!r}})) as (raw, path):
        raw.write(b"secret")
        raw.flush()
        print("writing", flush=True)
        try:
            time.sleep(60)
        except Exception:
            pass  # what goes on after every failure must not go on after this one
        finally:
            time.sleep({{slow}})

run_module({{{{}}}}, Options, verb, installed=False)
"""


def start(folder, slow=0.0, before=""):
    line = [sys.executable, "-c", before + MODULE.format(folder=str(folder), slow=slow)]
    process = subprocess.Popen(line, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    assert process.stdout.readline() == "writing\n"
    return process


@pytest.mark.parametrize("name", ["SIGTERM", "SIGINT", "SIGHUP"])
def test_x27_a_signal_unwinds_the_module_and_nothing_half_written_stays(tmp_path, name):
    process = start(tmp_path)

    process.send_signal(signal.Signals[name])
    answer = json.loads(process.communicate(timeout=20)[0])

    assert (process.returncode, answer["failure"]["code"], name in answer["msg"]) == (1, "run.stopped", True)
    assert list(tmp_path.iterdir()) == []


def test_x27_a_second_signal_does_not_end_the_unwinding(tmp_path):
    process = start(tmp_path, slow=0.5)

    process.send_signal(signal.SIGTERM)
    for _number in range(3):
        process.send_signal(signal.SIGINT)
    answer = json.loads(process.communicate(timeout=20)[0])

    assert (answer["failure"]["code"], list(tmp_path.iterdir())) == ("run.stopped", [])


def test_a_signal_that_was_ignored_stays_ignored(tmp_path):
    process = start(tmp_path, before="import signal\nsignal.signal(signal.SIGHUP, signal.SIG_IGN)\n")

    process.send_signal(signal.SIGHUP)
    with pytest.raises(subprocess.TimeoutExpired):
        process.wait(timeout=0.5)
    process.terminate()

    assert json.loads(process.communicate(timeout=20)[0])["msg"] == "stopped by SIGTERM"


def test_handlers_are_put_back_and_a_thread_leaves_them_alone():
    before = [signal.getsignal(number) for number in signals.ENDING]
    seen = []

    def in_a_thread():
        with signals.unwinding():
            seen.append([signal.getsignal(number) for number in signals.ENDING])

    thread = threading.Thread(target=in_a_thread)
    thread.start()
    thread.join()
    with pytest.raises(signals.Stopped), signals.unwinding():
        signal.raise_signal(signal.SIGTERM)

    assert [*seen, [signal.getsignal(number) for number in signals.ENDING]] == [before, before]


def test_x27_a_signal_that_comes_while_an_object_is_taken_down_is_not_lost():
    class Slow:
        def __del__(self):
            signal.raise_signal(signal.SIGTERM)

    def verb():
        with signals.unwinding():
            one = Slow()
            del one
            time.sleep(60)

    with pytest.raises(signals.Stopped) as stopped:
        verb()

    assert stopped.value.name == "SIGTERM"


def test_what_else_goes_wrong_while_an_object_is_taken_down_is_told_as_before(monkeypatch):
    told = []
    monkeypatch.setattr(sys, "unraisablehook", told.append)

    class Odd:
        def __del__(self):
            raise ValueError("odd")

    with signals.unwinding():
        one = Odd()
        del one

    assert [type(lost.exc_value) for lost in told] == [ValueError]
