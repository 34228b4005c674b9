# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A module called as Ansible calls it, with a verb that only remembers what it was asked for."""

from __future__ import annotations

import dataclasses
import importlib

import pytest
from ansible_collections.certautopilot.ops.plugins.module_utils._domain.result import Result

PLUGINS = "ansible_collections.certautopilot.ops.plugins"


@pytest.fixture
def ask(call, monkeypatch):
    """Return ask(module, check=, **options) -> (the verb's options as a dictionary, or None; the module's result)."""

    def run(name, /, *, check=False, **given):
        module = importlib.import_module(f"{PLUGINS}.modules.{name}")
        verb = importlib.import_module(f"{PLUGINS}.module_utils._verbs.{name}")
        seen = []

        def remember(_settings, options, *, check, warn):
            seen.append(
                {field.name: getattr(options, field.name) for field in dataclasses.fields(options)} | {"check": check}
            )
            return Result(changed=False, values={}, before={}, after={})

        monkeypatch.setattr(verb, "run", remember)
        result = call(module.main, check=check, installed="config_file" in module.ARGUMENTS, **given)
        return (seen[0] if seen else None), result

    return run
