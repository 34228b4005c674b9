# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which run of ansible-playbook this is, and which other one is known to have ended."""

from __future__ import annotations

import multiprocessing
import os

import pytest
from ansible_collections.certautopilot.ops.plugins.plugin_utils._runs import has_ended, this_run

BOOT = "0d5f2c1e-boot"
NAMESPACE = "pid:[4026531836]"


@pytest.fixture
def proc(tmp_path):
    """A system of one process, 4242, that began at tick 777."""
    (tmp_path / "sys/kernel/random").mkdir(parents=True)
    (tmp_path / "sys/kernel/random/boot_id").write_text(f"{BOOT}\n")
    (tmp_path / "self/ns").mkdir(parents=True)
    (tmp_path / "self/ns/pid").symlink_to(NAMESPACE)
    for pid, state in ((4242, "S"), (4343, "Z")):
        (tmp_path / str(pid)).mkdir()
        fields = [state, *["0"] * 18, "777", "0"]
        (tmp_path / str(pid) / "stat").write_text(f"{pid} (ansible (play) {' '.join(fields)}\n")
    return tmp_path


def told(**other):
    return {"pid": "4242", "started": "777", "boot": BOOT, "namespace": NAMESPACE, **other}


@pytest.mark.parametrize(
    ("other", "ended"),
    [
        ({}, False),
        ({"pid": "4343"}, True),
        ({"pid": "1"}, True),
        ({"started": "776"}, True),
        ({"pid": "1", "boot": "another"}, False),
        ({"pid": "1", "namespace": "pid:[1]"}, False),
        ({"pid": "1", "started": ""}, False),
        ({"pid": "../1"}, False),
    ],
    ids=str,
)
def test_a_run_has_ended_only_where_this_system_can_tell(proc, other, ended):
    assert has_ended(told(**other), proc) is ended


def test_where_the_system_does_not_tell_no_run_has_ended(tmp_path):
    assert not has_ended(told(pid="1"), tmp_path)
    assert not has_ended(told(pid="1", boot="", namespace=""), tmp_path)


def test_a_run_has_one_name_in_all_its_workers_and_its_process_goes_on():
    name, here = this_run()
    context = multiprocessing.get_context("fork")
    with context.Pool(1) as pool:
        in_worker = pool.apply(this_run)

    assert in_worker == (name, here)
    assert here["pid"] == str(os.getpid())
    assert not has_ended(here)
