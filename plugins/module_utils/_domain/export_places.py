# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Where in the folder of an export a certificate lies: no name from the database leads elsewhere or onto another (X26).

A part of a path is made of ASCII letters, digits, dot, dash and underscore, and nothing else, so that letter case and
Unicode forms, line ends, NUL, separators and drives cannot matter. Two that a file system without letter case would
take for one get a mark behind the name, such as the id; what results is looked at again.
"""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from collections.abc import Iterable

_LONGEST = 100  # characters of a name; with a suffix of 65 it stays below the 255 bytes of file systems
_MARK = re.compile(r"[0-9a-f]{24}")  # an ObjectId; whatever else it is gets a hash of 20
_PART = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._-]{0,199}")
# Names that Windows keeps for devices, whatever follows a dot: an export may be unpacked there.
_DEVICES = re.compile(r"(?i)(con|prn|aux|nul|com[0-9]|lpt[0-9])(\..*)?")


def safe_part(text: str) -> str:
    """Return a name usable as one part of a path, at most 100 characters; never "", "." or ".."."""
    cleaned = re.sub(r"[^A-Za-z0-9._-]+", "_", text.replace("*", "wildcard")).lstrip(".")[:_LONGEST].rstrip(".")
    return f"_{cleaned}" if _DEVICES.fullmatch(cleaned) else cleaned or "unnamed"


def is_part(text: str) -> bool:
    """Return whether a text is a part as we make them: for what an index says."""
    return _PART.fullmatch(text) is not None and not text.endswith(".")


class Places:
    """Gives each of many things in one folder a name of its own, whichever of them are wanted in the end.

    `count` each of them first, all of them, so that a name does not depend on what a filter chose. INVARIANT: two
    things with different marks never get names that differ in letter case only.
    """

    def __init__(self, reserved: Iterable[str] = ()) -> None:
        self._counted: Counter[str] = Counter({name.lower(): 2 for name in reserved})

    def count(self, name: str) -> None:
        self._counted[safe_part(name).lower()] += 1

    def place(self, name: str, mark: str) -> str:
        """Return the part of the path for one that was counted. mark: what no other of that name has."""
        part = safe_part(name)
        if self._counted[part.lower()] <= 1:
            return part
        # SAFE BECAUSE no suffix has a dot in it, and those of different marks differ: two candidates are equal only
        # where marks are. A name that looks like a candidate is in `_counted`, and then a hash comes next.
        suffix = mark if _MARK.fullmatch(mark) else _hash(mark)[:20]
        while self._counted[f"{part}.{suffix}".lower()]:
            suffix = _hash(f"{suffix} {mark}")
        return f"{part}.{suffix}"


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
