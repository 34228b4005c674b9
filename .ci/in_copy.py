# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Run a tool of Ansible's in a copy of this collection that lies where Ansible expects collections.

    .venv/bin/python .ci/in_copy.py NAME COMMAND [ARGUMENT …]

The copy, `.build/copies/NAME/ansible_collections/certautopilot/ops`, holds what git would commit (files that are
tracked, and new ones that are not ignored) as it is in the work tree. It is a git repository of its own,
because ansible-test asks git what to look at. The tool gets a home of its own below .build, so that it
leaves nothing in the caller's, and no collection installed there can take its place.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
HOME = ROOT / ".build" / "home"
TREE = Path("ansible_collections") / "certautopilot" / "ops"

# What ansible-test runs in place of a script that it would download: pip as this Python already carries it.
GET_PIP = """\
import subprocess
import sys

subprocess.check_call([sys.executable, "-m", "ensurepip", "--default-pip"])
arguments = [word for word in sys.argv[1:] if word not in ("--no-setuptools", "--no-wheel")]
subprocess.check_call([sys.executable, "-m", "pip", "install", *arguments])
"""
GET_PIP_NAMES = ("get_pip_24_2.py", "get_pip_25_2.py")


def main(argv: list[str]) -> int:
    """Exit status of the tool."""
    name, *command = argv
    base = ROOT / ".build" / "copies" / name
    copy_collection(base / TREE)
    prepare_home()
    env = {**environment(), "ANSIBLE_COLLECTIONS_PATH": str(base)}
    done = subprocess.run(command, cwd=base / TREE, env=env, check=False)  # runs: (what the Makefile says, found there)
    return done.returncode


def copy_collection(target: Path) -> None:
    """A fresh copy; links stay links."""
    shutil.rmtree(target, ignore_errors=True)
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT, check=True, capture_output=True, text=True,
    )  # fmt: skip
    for name in sorted(set(listed.stdout.split("\0")) - {""}):
        source, copied = ROOT / name, target / name
        if not os.path.lexists(source):
            continue  # deleted in the work tree, not yet in the index
        copied.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(source, copied, follow_symlinks=False)
    subprocess.run(["git", "init", "--quiet", "--initial-branch", "main"], cwd=target, check=True)


def prepare_home() -> None:
    """A home with the caller's configuration of pip, and the stand-in for the download."""
    cache = HOME / ".ansible" / "test" / "cache"
    cache.mkdir(parents=True, exist_ok=True)
    for name in GET_PIP_NAMES:
        if not (cache / name).exists():
            (cache / name).write_text(GET_PIP, encoding="utf-8")
    for name in (".config/pip", ".pip"):
        theirs, ours = Path.home() / name, HOME / name
        if theirs.is_dir() and not os.path.lexists(ours):
            ours.parent.mkdir(parents=True, exist_ok=True)
            ours.symlink_to(theirs)


def environment() -> dict[str, str]:
    """The process environment with our tools first, our home, and nothing that was set for Ansible elsewhere."""
    env = {
        key: value for key, value in os.environ.items() if not key.startswith(("XDG_", "ANSIBLE_", "MAKE", "MFLAGS"))
    }
    env["PATH"] = f"{ROOT / '.venv' / 'bin'}{os.pathsep}{env['PATH']}"
    env["HOME"] = str(HOME)
    env["ANSIBLE_HOME"] = str(HOME / ".ansible")
    env["GALAXY_IMPORTER_CONFIG"] = str(ROOT / ".ci" / "galaxy-importer.cfg")
    return env


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
