# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How many documents are moved at a time."""

from __future__ import annotations

import pytest
from ansible_collections.certautopilot.ops.plugins.module_utils._rotation.options import Options
from ansible_collections.certautopilot.ops.plugins.module_utils._rotation.shared_work import batch_size


@pytest.mark.parametrize(("workers", "documents"), [(1, 500), (4, 500), (5, 1000), (8, 1000), (16, 2000)])
def test_a_batch_grows_with_the_workers_that_wait_for_its_end(workers, documents):
    assert batch_size(Options(to_version=2, workers=workers), lease_s=30) == documents


def test_a_batch_of_another_size_grows_in_the_same_way():
    assert batch_size(Options(to_version=2, batch_size=7, workers=9), lease_s=30) == 21


def test_a_small_share_of_the_hsm_keeps_batches_small_enough_for_the_lease_however_many_workers_there_are():
    assert batch_size(Options(to_version=2, workers=16, hsm_share=9), lease_s=30) == 30
