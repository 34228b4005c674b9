# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Real hosts for tests: Debian with systemd as PID 1, in containers of podman, in a network namespace of their own.

An operator's view of them is plain: ssh as the login user `deploy`, password-less sudo, no route to anywhere else. The
stand-in for the product is installed on each as the product installs itself, neither enabled nor started.

    python -m tests.support.hosts up --dir DIR [--name NAME] [--suite bookworm,destination=trixie] \
                                     [--hosts source-1,destination-1,database-1]
    python -m tests.support.hosts down --dir DIR

A set of hosts is one folder and one name; several sets run side by side. Read hosts.py first.
"""

from .available import Unavailable, why_not
from .hosts import HOSTS, Hosts

__all__ = ["HOSTS", "Hosts", "Unavailable", "why_not"]
