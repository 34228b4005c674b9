# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""After the guards refused: both databases and the token are as they were."""

from __future__ import annotations

import os
from pathlib import Path

from tests.support import processes, softhsm
from tests.support.lab import TOKEN, Lab
from tests.support.oracle import Side

LAB = Lab(Path(os.environ["LAB_DIR"]))


def test_the_env_database_still_has_its_lock_and_one_row():
    db = Side(*LAB.files("old")).db

    assert db.kek_install.find_one()["provider"] == "env"
    assert sorted(map(str, db.kek_versions.distinct("_id"))) == ["1", "active"]
    assert db.kek_rotations.count_documents({}) == 0


def test_no_key_was_made():
    assert len(softhsm.call("keys", LAB.folder / "hsm", TOKEN, LAB.pin)) == 1


def test_the_refused_process_left_no_listener():
    assert processes.with_argument("mistake.yaml") == []
