# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The command line of the examples; molecule's scenarios on hosts call it.

python -m tests.support.examples prepare EXAMPLE --dir DIR
    make what the example finds on the set of hosts that DIR holds, and note what is seen there
python -m tests.support.examples unchanged EXAMPLE --dir DIR
    exit status 0 if the same is seen as noted
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from tests.support.hosts import Hosts

from . import prepared
from .sides import Sides


def main() -> int:
    parser = argparse.ArgumentParser(prog="tests.support.examples")
    parser.add_argument("command", choices=["prepare", "unchanged"])
    parser.add_argument("example")
    parser.add_argument("--dir", type=Path, required=True)
    given = parser.parse_args()
    folder = given.dir / "prepared"
    folder.mkdir(exist_ok=True)
    sides = Sides(Hosts.load(given.dir), folder)
    return {"prepare": prepare, "unchanged": unchanged}[given.command](sides, given.example)


def prepare(sides: Sides, example: str) -> int:
    hosts = prepared.hosts_of(example)
    prepared.prepare(sides, example)
    rotated = prepared.playbook_of(example) == "rotate"
    prepared.mark(sides, hosts)
    note = {"seen": prepared.seen(sides, hosts), "opened": prepared.opened(sides, hosts[0]) if rotated else {}}
    (sides.folder / "before.json").write_text(json.dumps(note), encoding="utf-8")
    return 0


def unchanged(sides: Sides, example: str) -> int:
    before = json.loads((sides.folder / "before.json").read_text(encoding="utf-8"))["seen"]
    now = prepared.seen(sides, prepared.hosts_of(example))
    for what in before:
        if before[what] != now[what]:
            print(f"{what}: before {before[what]}, now {now[what]}", file=sys.stderr)
    return int(before != now)


if __name__ == "__main__":
    sys.exit(main())
