# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A process that runs one verb and kills itself (SIGKILL) just before or just after a chosen moment.

Run as a script with an order as JSON on standard input: {params, verb, options, fail_point, at: "before|after",
constants}. It prints "begun" once all is imported. fail_point: a name of tests/support/fail_points.py, null where
somebody else kills it. constants: name -> value, set in every module of the collection that has the name. The kill is
real; only its moment is chosen.
"""

from __future__ import annotations

import importlib
import json
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]


def main() -> None:
    order = json.load(sys.stdin)
    sys.path[:0] = [str(ROOT / ".build" / "collections"), str(ROOT)]
    from tests.support import fail_points

    sources = importlib.import_module(f"{fail_points.UTILS}._module.configuration")
    verb = importlib.import_module(f"{fail_points.UTILS}._verbs.{order['verb']}")
    fail_points.set_constants(order["constants"])
    if order["fail_point"] is not None:
        fail_points.kill(order["fail_point"], order["at"])
    print("begun", flush=True)
    settings = sources.settings_from(order["params"], environment={}, warn=print)
    verb.run(settings, verb.Options(**order["options"]), check=False, warn=print)


if __name__ == "__main__":
    main()
