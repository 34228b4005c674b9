# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The drop-in that keeps a unit from being started: what it says, and how it is recognised. Pure.

WHY no `systemctl mask`: a mask is a link in /etc/systemd/system, where the product's own unit file is, so systemd
refuses it. An Assert that cannot hold makes every start fail, by hand, at boot and by others, and `systemctl status`
names it.
"""

from __future__ import annotations

from .journal_lines import shown

FILE = "50-certautopilot-retired.conf"
_ALWAYS_FALSE = "AssertPathExists="
LONGEST_REASON = 200  # characters


def drop_in(path: str, unit: str, reason: str) -> str:
    """Return the drop-in. path: of the drop-in itself, below which nothing can be, as it is a file."""
    said = shown(reason, LONGEST_REASON).replace("%", "%%").replace("\\", "/")
    return (
        "# Written by the collection certautopilot.ops: this unit is retired and must not be started.\n"
        f"# {said}\n"
        "# To bring it back: product_service with `retired: false`, or remove this file and daemon-reload.\n"
        "[Unit]\n"
        f"Description={unit}, retired ({said})\n"
        f"{_assertion(path)}\n"
    )


def keeps_from_starting(content: str, path: str) -> bool:
    """Return whether the drop-in still has its Assert."""
    return _assertion(path) in content.splitlines()


def reason_in(content: str) -> str:
    """Return what a drop-in of ours says was the reason, "" where it does not."""
    lines = content.splitlines()
    return lines[1].removeprefix("# ").replace("%%", "%") if len(lines) > 1 and lines[1].startswith("# ") else ""


def _assertion(path: str) -> str:
    """Return the line. WHY this path: it cannot exist, and it leads whoever reads it to the file that is in the way."""
    return f"{_ALWAYS_FALSE}{path}/retired"
