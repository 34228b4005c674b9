# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Makes the import fail for real: the destination has a unique index that the source's zones violate."""

from __future__ import annotations

import os
from pathlib import Path

import pymongo
import yaml

from tests.support.lab import Lab
from tests.support.oracle import Side, digest

lab = Lab(Path(os.environ["LAB_DIR"]))
new = yaml.safe_load(lab.inventory.read_text())["all"]["children"]["destination"]["hosts"]["new"]
client = pymongo.MongoClient((lab.folder / "new" / "uri").read_text())
client[new["install_mongodb_database"]].zones.create_index("project_id", unique=True)
(lab.folder / "source-digest").write_text(digest(Side(*lab.files("old")).db))
