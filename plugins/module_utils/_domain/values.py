# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Names for values whose shape this collection does not decide: what BSON holds, and what a result shows.

WHY names: `Any` switches the type checker off and says nothing to a reader. Each of these is met at one door, and what
comes through is checked where it is used.
"""

from __future__ import annotations

from typing import Any, TypeAlias

BsonValue: TypeAlias = Any
"""A value of a record, of any BSON type; foreign data, so look at it before you believe it."""

Document: TypeAlias = dict[str, BsonValue]
"""A record as the driver decodes it: field name -> value."""

JsonObject: TypeAlias = dict[str, object]
"""A part of a module's result: text keys, JSON-clean values."""
