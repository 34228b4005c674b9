# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The filter pin_text: what a role writes into secrets.env is the PIN that a module reads from the same file (X62)."""

from __future__ import annotations

import base64

import pytest
from ansible.errors import AnsibleFilterError
from ansible_collections.certautopilot.ops.plugins.filter.environment_file import pin_text

NEVER_TYPED = [b"\xef\xbb\xbf7531", b"7531\n\n", b" 7531", b"7531 \n", b"75\r31", b"", b"\xff\xfe7\x005\x00"]


def slurped(content):
    return base64.b64encode(content).decode()


@pytest.mark.parametrize("end", [b"", b"\n", b"\r\n"])
def test_x62_roles_read_a_pin_file_as_modules_do(end):
    assert pin_text(slurped(b"75 31" + end)) == "75 31"


@pytest.mark.parametrize("content", NEVER_TYPED)
def test_x62_what_nobody_can_have_typed_is_refused_and_not_shown(content):
    with pytest.raises(AnsibleFilterError) as refused:
        pin_text(slurped(content), origin="/root/pin")

    assert "/root/pin" in str(refused.value)
    assert "7531" not in str(refused.value)
