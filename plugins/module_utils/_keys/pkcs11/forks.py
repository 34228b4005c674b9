# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What becomes of a pool in a forked child: it forgets the workers, which are the parent's (T30)."""

from __future__ import annotations

import os
import weakref
from typing import Protocol


class Abandons(Protocol):
    """What has something of the parent's."""

    def abandon(self) -> None:
        """Forget it without a word."""


_THEY: weakref.WeakSet[Abandons] = weakref.WeakSet()


def abandon_in_children(it: Abandons) -> None:
    """Have it abandoned in every child that is forked from now on."""
    _THEY.add(it)


def _abandon() -> None:
    for it in list(_THEY):
        it.abandon()


os.register_at_fork(after_in_child=_abandon)
