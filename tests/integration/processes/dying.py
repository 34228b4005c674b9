# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A process that runs one verb and kills itself (SIGKILL) just before or just after a chosen effect.

Run as a script with an order as JSON on standard input: {params, verb, options, at: "before|after", effect:
"module:function", patches: {"module:name": value}}. The kill is real; only its moment is chosen.
"""

from __future__ import annotations

import importlib
import json
import os
import signal
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[3]
UTILS = "ansible_collections.certautopilot.ops.plugins.module_utils"


def main() -> None:
    order = json.load(sys.stdin)
    sys.path[:0] = [str(ROOT / ".build" / "collections"), str(ROOT)]
    for place, value in order.get("patches", {}).items():
        module, name = place.split(":")
        setattr(importlib.import_module(f"{UTILS}.{module}"), name, value)
    die(order["effect"], order["at"])
    sources = importlib.import_module(f"{UTILS}._module.configuration")
    verb = importlib.import_module(f"{UTILS}._verbs.{order['verb']}")
    settings = sources.settings_from(order["params"], environment={}, warn=print)
    verb.run(settings, verb.Options(**order["options"]), check=False, warn=print)


def die(effect: str, at: str) -> None:
    """Make the named function the last thing this process does, or the first thing it does not."""
    place, name = effect.split(":")
    owner: Any = importlib.import_module(f"{UTILS}.{place}")
    *path, function = name.split(".")
    for part in path:
        owner = getattr(owner, part)
    real = getattr(owner, function)

    def last(*arguments: Any, **named: Any) -> Any:
        if at == "after":
            real(*arguments, **named)
        os.kill(os.getpid(), signal.SIGKILL)

    setattr(owner, function, last)


if __name__ == "__main__":
    main()
