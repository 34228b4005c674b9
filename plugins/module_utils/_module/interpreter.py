# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The Python that runs a module on the target, checked before any other file of the collection is imported.

INVARIANT: this file and the package's `__init__` keep to what Python 3.8 understands, the oldest that ansible-core 2.18
and later start a module with, and import nothing of the collection. Everything else here needs NEEDED.
"""

from __future__ import annotations

import json
import sys

NEEDED = (3, 11)
CODE = "dependency.python_too_old"


def require() -> None:
    """Return on a Python that is new enough. End the process as a failed module does on any other.

    WHY not an exception: nothing that could turn it into a module's result can be imported by this Python.
    """
    failed = failure(sys.version_info[:2], sys.version.split()[0], sys.executable)
    if failed:
        sys.stdout.write(json.dumps(failed) + "\n")
        raise SystemExit(1)


def failure(found: tuple[int, ...], version: str, path: str) -> dict[str, object]:
    """Return the module's result for this interpreter: {failed, msg, failure}; {} where it is new enough."""
    if found >= NEEDED:
        return {}
    needed = ".".join(str(number) for number in NEEDED)
    hint = (
        f"install Python {needed} or newer on this host and set ansible_python_interpreter to it; the role "
        "certautopilot.ops.runtime finds one that is installed, makes a virtual environment with the libraries, and "
        "sets ansible_python_interpreter for the rest of the play"
    )
    return {
        "failed": True,
        "msg": f"the interpreter of this module, {path}, is Python {version}, expected Python {needed} or newer",
        "failure": {"code": CODE, "step": "", "retryable": False, "hint": hint},
    }
