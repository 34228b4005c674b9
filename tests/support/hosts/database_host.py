# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The database on a host of its own: SecantusDB as a unit of its own user, started at each boot, at the host's address.

A set has such a host where one of its names begins with `database`; the others have the database on the controller.
It is SecantusDB whatever else the controller has: a mongod of the controller's would not run on another Debian.
"""

from __future__ import annotations

import shlex
from collections.abc import Callable
from pathlib import Path

from . import image

UNIT = "secantusdb.service"
# As for the database on the controller (tests/support/database.py), which says why.
SETTINGS = "[oplog]\nmax_entries = 2000000\n"
LIBRARIES = (
    "dnspython", "future", "numpy", "pymongo", "python-dateutil", "s2sphere", "secantusdb", "shapely", "six",
)  # fmt: skip


def among(names: tuple[str, ...]) -> str:
    """Return the host that has the database, "" where it is on the controller."""
    return next((name for name in names if name.startswith("database")), "")


def mounted(suite: image.Suite) -> list[str]:
    """Return podman's options for what that host gets. Raises ValueError where its Python is too old."""
    return ["-v", f"{image.unpacked(suite, LIBRARIES)}:/usr/share/secantusdb:ro"]


def start(run: Callable[[list[str]], object], put: Callable[[str, str], None], address: str, port: int) -> None:
    """Install the unit, enable it, and start it; return when it answers. run, put: on that host."""
    run(["useradd", "--system", "--user-group", "--no-create-home", "--home-dir", "/nonexistent", "--shell",
         "/usr/sbin/nologin", "secantusdb"])  # fmt: skip
    put("/etc/secantusdb.toml", SETTINGS)
    put("/etc/secantusdb.env", f"ADDRESS={shlex.quote(address)}\nPORT={port}\n")
    put(f"/etc/systemd/system/{UNIT}", Path(__file__).with_name(UNIT).read_text(encoding="utf-8"))
    run(["systemctl", "daemon-reload"])
    run(["systemctl", "enable", "--now", UNIT])
