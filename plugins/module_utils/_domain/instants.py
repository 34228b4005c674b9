# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Instants as RFC 3339 text."""

from __future__ import annotations

from datetime import UTC, datetime


def rfc3339(instant: object) -> str:
    """Return `2026-05-01T09:00:00Z` for a datetime (naive ones are UTC, as BSON stores them), "unknown" for others."""
    if not isinstance(instant, datetime):
        return "unknown"
    aware = instant.replace(tzinfo=UTC) if instant.tzinfo is None else instant.astimezone(UTC)
    return aware.strftime("%Y-%m-%dT%H:%M:%SZ")
