# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The hosts of the scenario that runs, and the example that was run on them; molecule's environment names both."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from tests.support.examples import prepared
from tests.support.examples.sides import Sides
from tests.support.hosts import Hosts

RUN = Path(os.environ["MOLECULE_EPHEMERAL_DIRECTORY"])


@pytest.fixture(scope="session")
def example():
    return os.environ["MOLECULE_SCENARIO_NAME"].removeprefix("hosts_")


@pytest.fixture(scope="session")
def groups(example):
    """Group of the example's inventory -> its hosts."""
    return prepared.groups_of(example)


@pytest.fixture(scope="session")
def nodes(example):
    return prepared.hosts_of(example)


@pytest.fixture(scope="session")
def sides():
    sides = Sides(Hosts.load(RUN / "hosts"), RUN / "hosts" / "prepared")
    sides.ansible_home = RUN / "ansible"
    return sides


@pytest.fixture(scope="session")
def before(sides):
    """What was noted on the hosts before the example was run."""
    return json.loads((sides.folder / "before.json").read_text(encoding="utf-8"))


@pytest.fixture(scope="session")
def said():
    """What every run of this scenario said, as with -vvv."""
    return (RUN / "ansible.log").read_text(encoding="utf-8")
