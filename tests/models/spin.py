# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One question to spin: a model with its defines, checked to its last reachable state, and what it answered.

spin writes a checker in C, gcc compiles it, and it visits every state. What all of them leave is below .build/models.
"""

from __future__ import annotations

import re
import subprocess
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from tests.support.repository import ROOT

MODELS = ROOT / "docs" / "models"
BUILT = ROOT / ".build" / "models"
MEMORY_MB = 2000
DEPTH = 1_000_000  # steps of the longest history; where it is too small the checker says so
LONGEST_S = 1800

# How the checker is compiled: without and with cycles. COLLAPSE keeps each process's part of a state once.
_COMPILED = ("-O2", "-w", "-DCOLLAPSE", f"-DMEMLIM={MEMORY_MB}", "-DVECTORSZ=2048")
_FOR_STATES = ("-DSAFETY",)
_FOR_CYCLES = ("-DNFAIR=4",)


@dataclass(frozen=True)
class Answer:
    """broken: the assertions that failed, by name, or what else is wrong with a history. states: that were visited."""

    broken: tuple[str, ...]
    whole: bool
    states: int
    seconds: float
    memory_mb: float
    said: str

    def line(self, name: str) -> str:
        """Return it as a row for people."""
        found = ", ".join(self.broken) or "holds"
        return f"{name:36}{self.states:>12,} states{self.seconds:8.1f} s{self.memory_mb:8.0f} MB  {found}"


def asked(name: str, model: str, defines: Mapping[str, object], *, liveness: str = "") -> Answer:
    """Return what spin finds in a model. name: of the question, and of its folder. liveness: an ltl formula of it."""
    folder = BUILT / name
    folder.mkdir(parents=True, exist_ok=True)
    for old in folder.iterdir():
        old.unlink()
    given = [f"-D{define}={value}" for define, value in defines.items()]
    _run(["spin", "-a", *given, str(MODELS / f"{model}.pml")], folder)
    _run(["gcc", *_COMPILED, *(_FOR_CYCLES if liveness else _FOR_STATES), "-o", "pan", "pan.c"], folder)
    options = [f"-m{DEPTH}", "-w22", *(["-a", "-f", "-N", liveness] if liveness else [])]
    began = time.monotonic()
    said = _run([str(folder / "pan"), *options], folder)  # runs: spin
    (folder / "said.txt").write_text(said, encoding="utf-8")
    return answer(said, time.monotonic() - began)


def answer(said: str, seconds: float) -> Answer:
    """Return what the checker's text says."""
    broken = re.findall(r"assertion violated\s+!\(+(\w+)\)", said)
    broken += ["a state that nobody leaves"] * ("invalid end state (at" in said)
    broken += ["it never ends"] * ("acceptance cycle (at" in said)
    errors = re.search(r"errors: (\d+)", said)
    if errors is None or (int(errors[1]) and not broken):
        broken.append("no answer")
    states = re.search(r"(\d+) states, stored", said)
    memory = re.search(r"([\d.]+)\s+total actual memory usage", said)
    whole = not re.search(r"Search not completed|max search depth too small|out of memory|reached -DMEMLIM", said)
    return Answer(
        tuple(broken), whole, int(states[1]) if states else 0, seconds, float(memory[1]) if memory else 0.0, said
    )


def _run(argv: list[str], folder: Path) -> str:
    done = subprocess.run(  # runs: (spin, gcc and what they made, as above)
        argv, cwd=folder, check=False, capture_output=True, text=True, timeout=LONGEST_S, stdin=subprocess.DEVNULL
    )
    said = done.stdout + done.stderr
    assert done.returncode == 0 or argv[0].endswith("pan"), said
    assert "Error:" not in said, said
    return said
