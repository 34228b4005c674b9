# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What docs/models/checks.yml asks: rules that hold in every reachable state, and what is found where one is left out.

`make models` runs these. A row of figures for each is in the output of `make models ARGS=-s`, and below .build/models.
"""

from __future__ import annotations

import re
import shutil

import pytest
import yaml

from . import spin

CHECKS = yaml.safe_load((spin.MODELS / "checks.yml").read_text(encoding="utf-8"))
SMALL = {"migration": {"N": 1, "FAULTS": 2}, "rotation": {"R": 1, "FAULTS": 1}}

needs_spin = pytest.mark.skipif(
    not (shutil.which("spin") and shutil.which("gcc")), reason="spin and gcc: make models installs them, as root"
)


def only(check: dict) -> dict:
    """Return the defines of a variant: the small model, and the one assertion that is to fail."""
    return {**SMALL[check["model"]], **check.get("defines", {}), "ONLY": check["breaks"].upper()}


@needs_spin
@pytest.mark.parametrize(
    "name", [*CHECKS["holds"], *(pytest.param(name, marks=pytest.mark.slow) for name in CHECKS["long"])]
)
def test_it_holds_in_every_reachable_state(name):
    check = {**CHECKS["holds"], **CHECKS["long"]}[name]

    found = spin.asked(name, check["model"], check["defines"], liveness=check.get("liveness", ""))

    print(found.line(name))
    assert (found.broken, found.whole) == ((), True), found.said
    assert found.states > 1000


@needs_spin
@pytest.mark.parametrize("name", CHECKS["broken"])
def test_a_rule_that_is_left_out_is_missed(name):
    check = CHECKS["broken"][name]

    found = spin.asked(name, check["model"], {**only(check), name: 1})

    print(found.line(name))
    assert found.broken == (check["breaks"],), found.said


@needs_spin
@pytest.mark.parametrize("name", CHECKS["limits"])
def test_what_the_protocol_does_not_withstand_is_what_the_readme_says(name):
    check = CHECKS["limits"][name]

    found = spin.asked(name, check["model"], {**only(check), name: 1})

    print(found.line(name))
    assert found.broken == (check["breaks"],), found.said
    assert name in (spin.MODELS / "README.md").read_text(encoding="utf-8")


def test_every_variant_of_the_models_is_asked():
    texts = [path.read_text(encoding="utf-8") for path in spin.MODELS.glob("*.pml")]
    variants = {name for text in texts for name in re.findall(r"\b(?:BROKEN|LIMIT)_[A-Z_]+[A-Z]\b", text)}

    assert variants == {*CHECKS["broken"], *CHECKS["limits"]}


SAID = {
    "holds": ("State-vector 96 byte, depth reached 5, errors: 0\n   366225 states, stored\n", ()),
    "an assertion": ("pan:1: assertion violated  !(two_schedulers) (at depth 9)\n errors: 1\n", ("two_schedulers",)),
    "a standstill": ("pan:1: invalid end state (at depth 4)\n errors: 1\n", ("a state that nobody leaves",)),
    "no end": ("pan:1: acceptance cycle (at depth 191)\n errors: 1\n", ("it never ends",)),
    "something else": ("errors: 1\n", ("no answer",)),
    "nothing": ("Segmentation fault", ("no answer",)),
}


@pytest.mark.parametrize("said", SAID)
def test_what_the_checker_says_is_read_as_it_is_meant(said):
    text, broken = SAID[said]

    assert spin.answer(text, 0.1).broken == broken


@pytest.mark.parametrize("said", ["Warning: Search not completed", "error: max search depth too small"])
def test_a_search_that_was_cut_short_proves_nothing(said):
    assert not spin.answer(f"errors: 0\n{said}\n", 0.1).whole
