# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a verb did, before Ansible sees it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from .values import JsonObject


@dataclass(frozen=True, slots=True)
class Result:
    """values: the module's return values, JSON-clean. before, after: versions, counts and check values for the diff."""

    changed: bool
    values: Mapping[str, object]
    before: Mapping[str, object]
    after: Mapping[str, object]

    def as_result(self, *, diff: bool) -> JsonObject:
        """Return the arguments of `exit_json`; the diff only when it was asked for."""
        shown = {"diff": {"before": dict(self.before), "after": dict(self.after)}} if diff else {}
        return {"changed": self.changed, **self.values, **shown}
