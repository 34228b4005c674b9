# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which calls of kek_rotate run in slices; the others go to the module as they are."""

from __future__ import annotations

import importlib

import pytest
from ansible_collections.certautopilot.ops.plugins.modules.kek_rotate import ARGUMENTS

action = importlib.import_module("ansible_collections.certautopilot.ops.plugins.action.kek_rotate")


@pytest.mark.parametrize(
    ("args", "sliced"),
    [
        ({}, True),
        ({"slice_seconds": "7", "max_seconds": "60", "state": "rotated", "compromised": "no"}, True),
        ({"slice_seconds": None, "progress": None}, True),
        ({"slice_seconds": 0}, False),
        ({"max_seconds": -1}, False),
        ({"state": "cancelled"}, True),
        ({"compromised": "yes"}, True),
    ],
)
def test_every_rotation_is_sliced_and_so_is_a_cancellation(args, sliced):
    assert action._can_be_sliced(action._numbers(args)) is sliced


@pytest.mark.parametrize("args", [{"slice_seconds": "x"}, {"progress": "x"}, {"max_seconds": []}])
def test_what_is_not_of_its_type_is_left_to_the_module(args):
    assert action._numbers(args) is None


def test_the_defaults_are_the_modules():
    known = {name: ARGUMENTS[name]["default"] for name in action.DEFAULTS if name in ARGUMENTS}

    assert known == {name: action.DEFAULTS[name] for name in known}
    assert {"progress", "slice_seconds", "max_seconds"} <= set(known)
