# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The workflow that users copy into their own CI: its commands, as they are, in an empty folder."""

from __future__ import annotations

import os
import subprocess

import pytest
import yaml

from tests.support.repository import ROOT

WORKFLOW = yaml.safe_load((ROOT / "docs/examples/ci/workflow.yml").read_text(encoding="utf-8"))
JOB = WORKFLOW["jobs"]["scenario"]


def test_its_scenarios_are_those_that_need_no_test_hosts():
    here = {path.parent.name for path in (ROOT / "molecule").glob("*/molecule.yml")}

    assert set(JOB["strategy"]["matrix"]["scenario"]) == {name for name in here if not name.startswith("hosts_")}


def test_it_uses_nothing_but_commands():
    assert [step for step in JOB["steps"] if "uses" in step] == []


@pytest.mark.slow
@pytest.mark.parametrize("scenario", ["lock_guards", "migrate_env_to_pkcs11"])
def test_its_commands_end_well_in_an_empty_folder(tmp_path, scenario):
    given = {"HOME": str(tmp_path), "LANG": "C.UTF-8", "PATH": os.environ["PATH"]}
    given |= {"COLLECTION": str(ROOT), "VERSION": "HEAD", "SCENARIO": scenario}
    for step in JOB["steps"]:
        done = subprocess.run(
            ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", step["run"]],
            cwd=tmp_path, env=given, capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert done.returncode == 0, step["name"] + done.stdout[-4000:] + done.stderr[-4000:]
