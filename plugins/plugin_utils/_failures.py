# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What an action plugin returns when it fails: as our modules do, with a stable code and the way out (ADR-0020)."""

from __future__ import annotations

from typing import Any

from ansible_collections.certautopilot.ops.plugins.module_utils._domain.visible import visible


def failed(code: str, msg: str, *, hint: str, step: str = "", retryable: bool = False) -> dict[str, Any]:
    """Return the result of a task that failed. WHY the code in msg too: callbacks and AWX show that line first.

    What the texts hold of a host's answers moves no cursor and begins no line (X28).
    """
    msg, hint, step = visible(msg), visible(hint), visible(step)
    return {
        "changed": False,
        "failed": True,
        "msg": f"{code}: {msg}; {hint}",
        "failure": {"code": code, "step": step, "retryable": retryable, "hint": hint},
    }
