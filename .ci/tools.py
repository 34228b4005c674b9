# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Install what one target of make needs beyond `make env`: a table of FOR_TARGETS in commands.py.

python3 .ci/tools.py hosts
"""

from __future__ import annotations

import sys

import commands
import environment


def main(name: str) -> int:
    """0 when everything is there, 1 with one sentence on stderr otherwise."""
    try:
        missing = environment.unmet(commands.FOR_TARGETS[name])
        if missing:
            environment.apt_install(environment.packages_of(missing))
        for need in environment.unmet(commands.FOR_TARGETS[name]):
            raise environment.SetupError(f"{' '.join(need.packages)} is installed, but not found: {need.sought()}")
    except environment.SetupError as err:
        print(f"make {name}: {err}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
