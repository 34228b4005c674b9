# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A process that runs kek_rotate and counts what it cost: work, or the most memory it held at one time.

Run as a script with an order as JSON on standard input: {params, options, what: "work" | "memory"}; it prints JSON.
work: commands, documents read, updates written, calls within the collection's code. memory: bytes (tracemalloc) and
resident set (kilobytes). A process of its own, for all these counters hold for the whole interpreter.
"""

from __future__ import annotations

import json
import sys
import threading
import tracemalloc
from collections import Counter
from pathlib import Path
from typing import Any

import pymongo.monitoring

ROOT = Path(__file__).resolve().parents[3]
OURS = "module_utils"
COUNTS: Counter[str] = Counter()


class Commands(pymongo.monitoring.CommandListener):
    """Counts every command that the driver sends, and the documents that come and go with it."""

    def started(self, event: Any) -> None:
        COUNTS["commands"] += 1
        COUNTS["updates"] += len(event.command.get("updates", ()))

    def succeeded(self, event: Any) -> None:
        cursor = event.reply.get("cursor", {})
        COUNTS["documents"] += len(cursor.get("firstBatch", ())) + len(cursor.get("nextBatch", ()))

    def failed(self, event: Any) -> None:
        COUNTS["failed"] += 1


def count_call(frame: Any, event: str, _argument: Any) -> None:
    if event in ("call", "c_call") and OURS in frame.f_code.co_filename:
        COUNTS["calls"] += 1


def main() -> None:
    order = json.load(sys.stdin)
    sys.path[:0] = [str(ROOT / ".build" / "collections"), str(ROOT)]
    from ansible_collections.certautopilot.ops.plugins.module_utils._module import configuration
    from ansible_collections.certautopilot.ops.plugins.module_utils._verbs import kek_rotate

    settings = configuration.settings_from(order["params"], environment={}, warn=print)
    if order["what"] == "work":
        pymongo.monitoring.register(Commands())
        threading.setprofile(count_call)
        sys.setprofile(count_call)
    else:
        tracemalloc.start()
    result = kek_rotate.run(settings, kek_rotate.Options(**order["options"]), check=False, warn=print)
    sys.setprofile(None)
    threading.setprofile(None)  # type: ignore[arg-type]
    told = {"rewrapped": result.values["rotation"]["rewrapped"], **COUNTS}
    if order["what"] == "memory":
        told["peak"] = tracemalloc.get_traced_memory()[1]
        told["resident"] = resident_kb()
    print(json.dumps(told))


def resident_kb() -> int:
    """Return the peak of this process in KiB. WHY not getrusage: its figure is inherited from who started us."""
    status = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    return int(next(line for line in status if line.startswith("VmHWM:")).split()[1])


if __name__ == "__main__":
    main()
