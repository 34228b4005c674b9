# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A process that runs one verb, stops itself (SIGSTOP) at a chosen moment, and says how the verb ended.

Run as a script with an order as JSON on standard input: {params, verb, options, stop_before: "module:function" or null,
patches: {"module:name": value}}. Prints one line of JSON: {changed, values} or {code, retryable, message}.
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
    from ansible_collections.certautopilot.ops.plugins.module_utils._domain.errors import OpsError

    for place, value in order.get("patches", {}).items():
        module, name = place.split(":")
        setattr(importlib.import_module(f"{UTILS}.{module}"), name, value)
    if order.get("stop_before"):
        stop_before(order["stop_before"])
    sources = importlib.import_module(f"{UTILS}._module.sources")
    verb = importlib.import_module(f"{UTILS}._operations.{order['verb']}")
    settings = sources.settings_from(order["params"], environment={}, warn=lambda _text: None)
    try:
        result = verb.run(settings, verb.Options(**order["options"]), check=False, warn=lambda _text: None)
        print(json.dumps({"changed": result.changed, "values": result.values}, default=str))
    except OpsError as refusal:
        print(json.dumps({"code": refusal.code, "retryable": refusal.retryable, "message": refusal.message}))


def stop_before(place: str) -> None:
    """Stop this process when it is about to call the function for the first time."""
    module, name = place.split(":")
    owner: Any = importlib.import_module(f"{UTILS}.{module}")
    *path, function = name.split(".")
    for part in path:
        owner = getattr(owner, part)
    real = getattr(owner, function)

    def first(*arguments: Any, **named: Any) -> Any:
        setattr(owner, function, real)
        os.kill(os.getpid(), signal.SIGSTOP)
        return real(*arguments, **named)

    setattr(owner, function, first)


if __name__ == "__main__":
    main()
