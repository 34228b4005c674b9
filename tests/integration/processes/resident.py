# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A process that runs one verb and tells how much memory it ever held.

Run as a script with an order as JSON on standard input: {verb, params, options}; it prints {before, peak} in MiB, where
before is what the interpreter and its libraries take. A process of its own, because a peak never shrinks.
"""

from __future__ import annotations

import importlib
import json
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]
PACKAGE = "ansible_collections.certautopilot.ops.plugins.module_utils"


def resident() -> int:
    """Return the peak of this process in MiB. WHY not getrusage: its figure is inherited from who started us."""
    status = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    return int(next(line for line in status if line.startswith("VmHWM:")).split()[1]) // 1024


def main() -> None:
    order = json.load(sys.stdin)
    sys.path[:0] = [str(ROOT / ".build" / "collections"), str(ROOT)]
    configuration = importlib.import_module(f"{PACKAGE}._module.configuration")
    verb = importlib.import_module(f"{PACKAGE}._verbs.{order['verb']}")
    options = {name: tuple(v) if isinstance(v, list) else v for name, v in order["options"].items()}
    settings = configuration.settings_from(order["params"], environment={}, warn=print)
    before = resident()
    verb.run(settings, verb.Options(**options), check=False, warn=print)
    print(json.dumps({"before": before, "peak": resident()}))


if __name__ == "__main__":
    main()
