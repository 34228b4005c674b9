# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Molecule as a user of CI types it, without make: nothing but the environment's programs on PATH."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def test_x100_a_scenario_finds_the_collection_from_a_checkout(tmp_path):
    # given: what `make` and Ansible would otherwise tell it is not there
    given = {"HOME": str(tmp_path), "LANG": "C.UTF-8", "PATH": f"{Path(sys.executable).parent}:{os.defpath}"}

    done = subprocess.run(
        ["molecule", "syntax", "-s", "lock_guards"],
        cwd=ROOT, env=given, capture_output=True, text=True, check=False,
    )  # fmt: skip

    assert done.returncode == 0, done.stdout + done.stderr
    assert "module_defaults" not in done.stderr
