# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Filters for the role status: what all hosts said, as data and as one screen."""

from __future__ import annotations

from collections.abc import Callable

from ansible_collections.certautopilot.ops.plugins.plugin_utils import _status


class FilterModule:
    def filters(self) -> dict[str, Callable[..., object]]:
        return {"status": _status.status, "status_lines": _status.status_lines}
