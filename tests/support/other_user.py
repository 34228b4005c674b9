# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A real user besides root for one test, and a Python that this user can run too. Without root a test is skipped.

The Python of `.venv` often lies in root's home, where nobody else may look; the system's own does not. It borrows the
libraries of `.venv`, and is good for that only where it is of the same version.
"""

from __future__ import annotations

import json
import os
import pwd
import secrets
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from .processes import REPOSITORY

CALLING = Path(__file__).resolve().parents[1] / "integration" / "processes" / "calling.py"


@dataclass(frozen=True)
class OtherUser:
    """folder: one that everybody may enter, removed with the user. python: an interpreter that this user can run."""

    name: str
    uid: int
    gid: int
    folder: Path
    python: str

    def own(self, path: Path) -> None:
        """Give a folder and all in it to this user."""
        for one in (path, *path.rglob("*")):
            os.chown(one, self.uid, self.gid, follow_symlinks=False)

    def can(self, *command: str, **variables: str) -> bool:
        """Return whether a command succeeds as this user."""
        groups = os.getgrouplist(self.name, self.gid)
        try:
            ended = subprocess.run(
                command, user=self.uid, group=self.gid, extra_groups=groups, env={"PATH": os.defpath, **variables},
                capture_output=True, cwd="/", check=False,
            )  # fmt: skip  # runs: python (or what a test asks)
        except PermissionError:
            return False
        return ended.returncode == 0

    def call(self, verb: str, params: dict[str, Any], *, python: str = "", check: bool = False, **options: Any) -> Any:
        """Return what a verb says that root calls by that Python: its values, or its failure."""
        order = {"verb": verb, "params": params, "options": options, "check": check}
        ended = subprocess.run(
            [python or self.python, CALLING], input=json.dumps(order), env=libraries(), capture_output=True, text=True,
            timeout=120, check=False,
        )  # fmt: skip  # runs: python
        assert ended.returncode == 0, ended.stderr
        return json.loads(ended.stdout)


def libraries() -> dict[str, str]:
    """Return the environment in which another Python has the libraries of this one, and the collection."""
    paths = [sysconfig.get_path("purelib"), str(REPOSITORY / ".build" / "collections"), str(REPOSITORY)]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(paths)}


@contextmanager
def another() -> Iterator[OtherUser]:
    """Yield a new user; the user and its folder are removed afterwards."""
    if os.geteuid() != 0:
        pytest.skip("a user of its own needs root")
    if shutil.which("useradd") is None:
        pytest.skip("no useradd on this machine")
    name = f"cap-test-{secrets.token_hex(4)}"
    folder = Path(tempfile.mkdtemp(prefix="cap-test-"))
    folder.chmod(0o755)
    made = ["useradd", "--system", "--user-group", "--home-dir", str(folder), "--shell", "/usr/sbin/nologin", name]
    subprocess.run(made, check=True, capture_output=True)
    try:
        entry = pwd.getpwnam(name)
        user = OtherUser(name, entry.pw_uid, entry.pw_gid, folder, "")
        yield OtherUser(name, entry.pw_uid, entry.pw_gid, folder, _python_for(user))
    finally:
        subprocess.run(["userdel", name], check=False, capture_output=True)
        shutil.rmtree(folder, ignore_errors=True)


def _python_for(user: OtherUser) -> str:
    """Return the first Python that this user can run with our libraries; skips where there is none."""
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    asked = "import pkcs11, pymongo, yaml, cryptography, ansible_collections.certautopilot.ops.plugins"
    for python in (sys.executable, f"/usr/bin/python{version}", f"/usr/local/bin/python{version}"):
        if Path(python).exists() and user.can(python, "-c", asked, PYTHONPATH=libraries()["PYTHONPATH"]):
            return python
    pytest.skip(f"no Python {version} and no checkout that a user besides root can read")
