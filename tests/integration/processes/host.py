# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One host for a test: a process that runs one verb whenever it is told to.

Run as a script with an order as JSON in the first line of standard input: {params, verb, options, check}. It prints
"ready" when everything is imported. For each further line, which is empty or has variables as JSON, it runs the verb
with its files as they are then, and prints how it ended as a line of JSON.
"""

from __future__ import annotations

import importlib
import json
import os
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]
UTILS = "ansible_collections.certautopilot.ops.plugins.module_utils"


def main() -> None:
    order = json.loads(sys.stdin.readline())
    sys.path[:0] = [str(ROOT / ".build" / "collections"), str(ROOT)]
    sources = importlib.import_module(f"{UTILS}._module.configuration")
    verb = importlib.import_module(f"{UTILS}._verbs.{order['verb']}")
    print("ready", flush=True)
    for line in sys.stdin:
        os.environ.update(json.loads(line) if line.strip() else {})
        try:
            settings = sources.settings_from(order["params"], environment={}, warn=print)
            verb.run(settings, verb.Options(**order["options"]), check=order["check"], warn=print)
        except importlib.import_module(f"{UTILS}._domain.errors").OpsError as refusal:
            print(json.dumps(refusal.as_result()), flush=True)
        else:
            print(json.dumps({}), flush=True)


if __name__ == "__main__":
    main()
