# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The CRC of archives, against the value that everybody who writes of it gives, and a bit by bit computation."""

from __future__ import annotations

import pytest
from ansible_collections.certautopilot.ops.plugins.module_utils._domain import crc64

from tests.support.mongodump_forms import crc64 as bit_by_bit


@pytest.fixture(params=["liblzma", "python"])
def made(request, monkeypatch):
    if request.param == "python":
        monkeypatch.setattr(crc64, "lzma", None)
    return crc64.Crc64


def of(made, pieces):
    crc = made()
    for piece in pieces:
        crc.add(piece)
    return crc


def test_the_check_value_of_crc_64_xz(made):
    assert of(made, [b"123456789"]).is_(0x995DC9BBDF1939FA)  # reveng's catalogue of CRC algorithms
    assert not of(made, [b"123456788"]).is_(0x995DC9BBDF1939FA)
    assert of(made, []).is_(0)
    assert not of(made, []).is_(1)


@pytest.mark.parametrize("size", [1, 2, 3, 4, 65535, 65536, 65537, 131075])
def test_pieces_of_any_size_make_the_same(made, size):
    content = bytes(number * 7 % 251 for number in range(size))
    expected = bit_by_bit(content)

    assert of(made, [content]).is_(expected)
    assert of(made, [content[at : at + 999] for at in range(0, size, 999)]).is_(expected)
    assert not of(made, [content]).is_(expected ^ 1 << 63)
