# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The command line of the test hosts; `make hosts` and `make hosts-clean` call it.

python -m tests.support.hosts up --dir DIR [--name NAME] [--suite SUITE] [--hosts A,B,C] [--subnet NET]
python -m tests.support.hosts down --dir DIR [--images]
python -m tests.support.hosts why-not
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

from . import image
from .available import Unavailable, why_not
from .hosts import HOSTS, URI_FILE, Hosts


def main() -> int:
    arguments = _parser().parse_args()
    if arguments.command == "why-not":
        print(why_not())
        return 1 if why_not() else 0
    if arguments.command == "down":
        return down(arguments)
    try:
        return up(arguments)
    except (Unavailable, ValueError) as reason:
        print(f"hosts: {reason}", file=sys.stderr)
        return 1


def up(arguments: argparse.Namespace) -> int:
    """Bring a set up and say how to use it."""
    names = tuple(arguments.hosts.split(","))
    hosts = Hosts(arguments.dir, name=arguments.name, suite=arguments.suite, hosts=names, subnet=arguments.subnet)
    for suite in set(hosts.suites.values()):
        image.ensure(suite)  # before the clock starts
    started = time.monotonic()
    hosts.up()
    booted = ", ".join(f"{name} ({suite.name})" for name, suite in hosts.suites.items())
    print(
        f"hosts: {len(names)} booted in {time.monotonic() - started:.1f} s: {booted}\n"
        f"  log in:     {hosts.folder}/bin/ssh {names[0]}\n"
        f"  Ansible:    ansible-playbook -i {hosts.inventory} …   (from any shell of this user)\n"
        f"  database:   {hosts.database_uri} (also in {URI_FILE} on each host), seen by the hosts and by\n"
        f"              {hosts.folder}/bin/enter COMMAND\n"
        f"  from outside: from tests.support.hosts import Hosts; Hosts.load('{hosts.folder}').reboot('{names[0]}')"
    )
    return 0


def down(arguments: argparse.Namespace) -> int:
    """Remove the set of a folder, and the images where asked."""
    try:
        Hosts.load(arguments.dir).down()
    except FileNotFoundError:
        print(f"hosts: none below {arguments.dir}")
    if arguments.images:
        image.remove_all()
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="tests.support.hosts")
    verbs = parser.add_subparsers(dest="command", required=True)
    verbs.add_parser("why-not", help="say why this machine cannot run test hosts; exit status 0 when it can")
    rising = verbs.add_parser("up")
    rising.add_argument("--name", default="", help="of containers and namespaces; default: from the folder")
    rising.add_argument(
        "--suite", default="", help=f"{', '.join(image.SUITES)}, or a mix by names: bookworm,destination=trixie"
    )
    rising.add_argument("--hosts", default=",".join(HOSTS))
    rising.add_argument("--subnet", default="", help="a /24; default: from the folder")
    falling = verbs.add_parser("down")
    falling.add_argument("--images", action="store_true", help="remove the images and wheels of all sets as well")
    for verb in (rising, falling):
        verb.add_argument("--dir", type=Path, required=True)
    return parser


if __name__ == "__main__":
    sys.exit(main())
