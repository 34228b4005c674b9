# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The drop-in of a retired unit: it holds whatever the reason says, and is recognised only while it does."""

from __future__ import annotations

import pytest
from ansible_collections.certautopilot.ops.plugins.module_utils._domain.retirement import (
    drop_in,
    keeps_from_starting,
    reason_in,
)

PATH = "/etc/systemd/system/certautopilot.service.d/50-certautopilot-retired.conf"


@pytest.mark.parametrize(
    "reason", ["migrated", "100 % done", "a\nAssertPathExists=\nb", "back\\slash\\", "x" * 900, ""]
)
def test_a_reason_cannot_change_what_the_drop_in_does(reason):
    content = drop_in(PATH, "certautopilot.service", reason)

    assertions = [line for line in content.splitlines() if line.startswith("Assert")]
    assert assertions == [f"AssertPathExists={PATH}/retired"]
    assert not any(line.endswith("\\") for line in content.splitlines())
    assert "%" not in content.replace("%%", "")
    assert keeps_from_starting(content, PATH)


def test_the_reason_is_read_back():
    assert reason_in(drop_in(PATH, "certautopilot.service", "100 % done")) == "100 % done"


def test_a_drop_in_that_lost_its_assertion_retires_nothing():
    content = drop_in(PATH, "certautopilot.service", "migrated").replace("AssertPathExists", "# AssertPathExists")

    assert not keeps_from_starting(content, PATH)
    assert reason_in("") == ""
