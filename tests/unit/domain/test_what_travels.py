# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The collections that do not travel: all that this collection writes, and the same for the stand-in and the guide.

The stand-in and the oracle have a list of their own, because they share no code with what they judge. A collection that
is missing there is compared as if it held users' records.
"""

from __future__ import annotations

import re

from ansible_collections.certautopilot.ops.plugins.module_utils._domain.what_travels import BOOKKEEPING

from tests.support import repository
from tests.support.service import registry

STORE = "plugins/module_utils/_store/"
GUIDE = "docs/docsite/rst/guide_migration.rst"


def test_no_collection_of_ours_travels():
    sources = [repository.text(name) for name in repository.files() if name.startswith(STORE)]

    written = {name for text in sources for name in re.findall(r'^COLLECTION = "(\w+)"', text, flags=re.MULTILINE)}

    assert len(written) > 8
    assert written == BOOKKEEPING


def test_the_stand_in_and_the_oracle_leave_out_the_same():
    assert registry.BOOKKEEPING == BOOKKEEPING


def test_the_guide_names_each_of_them():
    said = re.search(r"bookkeeping of keys and processes.*?\((.*?)\)", repository.text(GUIDE), flags=re.DOTALL)

    assert set(re.findall(r"``(\w+)``", said[1])) == BOOKKEEPING
