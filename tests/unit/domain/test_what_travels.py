# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What stays behind in a migration is what the guide says, and what the stand-in and the oracle know."""

from __future__ import annotations

import re
from pathlib import Path

from ansible_collections.certautopilot.ops.plugins.module_utils._domain.what_travels import BOOKKEEPING

from tests.support.service import registry

GUIDE = Path(__file__).resolve().parents[3] / "docs/docsite/rst/guide_migration.rst"


def test_the_guide_lists_every_collection_that_does_not_travel_and_no_other():
    listed = re.search(r"bookkeeping of keys and processes \((.*?)\)", GUIDE.read_text(encoding="utf-8"), re.DOTALL)

    assert listed
    assert set(re.findall(r"``(\w+)``", listed[1])) == BOOKKEEPING


def test_the_oracle_takes_the_same_collections_for_no_records():
    assert set(registry.BOOKKEEPING) == BOOKKEEPING
