# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Small file systems of their own, as a disk that is full or a folder on which a disk is mounted."""

from __future__ import annotations

import ctypes
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

_MNT_DETACH = 2
_LIBC = ctypes.CDLL(None, use_errno=True)


@contextmanager
def tmpfs(folder: Path, *, size: int) -> Iterator[Path]:
    """Mount an empty file system of so many bytes on a folder; skip the test where the kernel does not let us."""
    options = f"size={size},mode=0700".encode()
    if _LIBC.mount(b"tmpfs", os.fsencode(folder), b"tmpfs", 0, options) != 0:
        pytest.skip(f"mount: {os.strerror(ctypes.get_errno())}; a file system of its own needs root")
    try:
        yield folder
    finally:
        _LIBC.umount2(os.fsencode(folder), _MNT_DETACH)
