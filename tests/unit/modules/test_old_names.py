# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""An option that was renamed is taken by its old name too, so that a playbook of yesterday does what it did."""

from __future__ import annotations

import importlib

import pytest
from ansible_collections.certautopilot.ops.plugins.module_utils._domain.result import Result
from ansible_collections.certautopilot.ops.plugins.module_utils._module.base import run_module

PLUGINS = "ansible_collections.certautopilot.ops.plugins"
# module, what a playbook of yesterday gives, the option that the verb gets it by
RENAMED = [
    ("kek_rotate", {"to_version": 2, "verify": "none"}, ("prove_wraps", "none")),
    ("kek_remove", {"version": 1, "fingerprint": "ff2531"}, ("check_value", "ff2531")),
]


@pytest.mark.parametrize(("name", "given", "expected"), RENAMED)
def test_an_old_name_reaches_the_verb_as_the_new_option(call, name, given, expected):
    module = importlib.import_module(f"{PLUGINS}.modules.{name}")
    verb = importlib.import_module(f"{PLUGINS}.module_utils._verbs.{name}")
    got = []

    def record(_settings, options, *, check, warn):
        got.append(options)
        return Result(changed=False, values={}, before={}, after={})

    call(lambda: run_module(module.ARGUMENTS, verb.Options, record), **given)

    option, value = expected
    assert [getattr(options, option) for options in got] == [value]
