# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Lines of the journal as they may be shown: secrets masked, then control characters escaped, then cut. Pure.

WHY this order: a secret that was cut or escaped first would not be found any more.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from datetime import UTC, datetime

from .visible import visible

LONGEST = 300  # characters of one line


def journal_lines(output: str, mask: Callable[[str], str]) -> tuple[str, ...]:
    """Return one text for each entry of `journalctl --output=json`: time, who wrote it, what it says."""
    entries = (_entry(line) for line in output.splitlines())
    return tuple(shown(mask(_said(entry))) for entry in entries if entry is not None)


def shown(text: str, longest: int = LONGEST) -> str:
    """Return the text on one line: nothing in it moves a cursor, hides or turns round what follows, or is endless."""
    safe = visible(text)
    return safe if len(safe) <= longest else f"{safe[:longest]}… ({len(safe) - longest} more characters)"


def _entry(line: str) -> Mapping[str, object] | None:
    try:
        entry = json.loads(line)
    except ValueError:
        return None
    return entry if isinstance(entry, dict) else None


def _said(entry: Mapping[str, object]) -> str:
    who = _text(entry.get("SYSLOG_IDENTIFIER")) or "?"
    pid = _text(entry.get("_PID"))
    return f"{_time(entry)} {who}{f'[{pid}]' if pid else ''}: {_message(entry)}"


def _message(entry: Mapping[str, object]) -> str:
    value = entry.get("MESSAGE")
    return "(longer than 4096 bytes, see journalctl)" if value is None else _text(value)


def _text(value: object) -> str:
    """Return a field. journalctl prints one that is not plain text as a list of bytes, and a repeated one as a list."""
    if isinstance(value, str):
        return value
    if isinstance(value, list):
        octets = [item for item in value if isinstance(item, int) and 0 <= item < 256]
        if len(octets) == len(value):
            return bytes(octets).decode("utf-8", "replace")
        return " ".join(_text(item) for item in value)
    return ""


def _time(entry: Mapping[str, object]) -> str:
    text = _text(entry.get("__REALTIME_TIMESTAMP"))
    if not (text.isascii() and text.isdigit() and len(text) < 18):
        return "?"
    return datetime.fromtimestamp(int(text) / 1e6, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
