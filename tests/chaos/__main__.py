# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""python -m tests.chaos [--seed N] [--short] [--writes N]

Ends with one line: "held" or "BROKEN", and the counts as JSON. Exit status 1 when anything is wrong. The seed draws the
moments of the kills; give it again to replay a run as far as the machine's own timing allows.
"""

from __future__ import annotations

import argparse
import json
import secrets
import signal
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path

from tests.integration.site import Site
from tests.support import database

from .run import FULL, SHORT, run


def main() -> int:
    parser = argparse.ArgumentParser(prog="tests.chaos")
    parser.add_argument("--seed", type=int, default=secrets.randbelow(1_000_000))
    parser.add_argument("--short", action="store_true", help="the size of the test in `make integration`")
    parser.add_argument("--writes", type=float, help="writes a second of all writers")
    arguments = parser.parse_args()
    size = SHORT if arguments.short else FULL
    if arguments.writes:
        size = replace(size, load=replace(size.load, writes_per_s=arguments.writes))
    signal.signal(signal.SIGTERM, lambda *_ignored: sys.exit(1))  # so that every process of the scene is ended
    print(f"seed {arguments.seed}", flush=True)
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="chaos-") as name:
        with database.running(Path(name) / "server", sync_on_commit=False) as server:
            site = Site(Path(name) / "site", server.uri, server.new_name("chaos"))
            try:
                counts = run(site, size, arguments.seed)
            finally:
                site.client.drop_database(site.name)
                site.client.close()
    for line in counts["wrong"]:
        print(f"wrong: {line}")
    facts = {
        **counts,
        "wrong": len(counts["wrong"]),
        "engine": server.engine,
        "seconds": round(time.monotonic() - began),
    }
    print(f"chaos: {'BROKEN' if counts['wrong'] else 'held'} {json.dumps(facts)}")
    return 1 if counts["wrong"] else 0


if __name__ == "__main__":
    sys.exit(main())
