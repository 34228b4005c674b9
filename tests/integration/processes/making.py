# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A run that makes an environment, in a process of its own: to be raced against another, or killed in the middle.

Arguments: SHA-256 of the lock, folder of environments, the lock's file, folder of wheels. It prints the interpreter.
"""

from __future__ import annotations

import importlib
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]
PACKAGE = "ansible_collections.certautopilot.ops.plugins.module_utils._runtime"


def main() -> None:
    sys.path[:1] = [str(ROOT / ".build" / "collections"), str(ROOT)]
    from tests.support.tiny_libraries import LIBRARIES

    making, environment = (importlib.import_module(f"{PACKAGE}.{name}") for name in ("making", "environment"))
    wanted = environment.Wanted(sys.argv[1], LIBRARIES, ())
    folder, lock_file, wheels = map(Path, sys.argv[2:])
    print(making.make(folder, wanted, lock_file=lock_file, wheels=wheels).python)


if __name__ == "__main__":
    main()
