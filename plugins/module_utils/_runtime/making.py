# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Making an environment: beside the one in use, by the interpreter of this process, proven, and only then swapped in.

1. Whoever makes one locks the folder, and looks again when it has the lock: another run may have made it meanwhile.
2. It is made under a name of its own, so nobody uses it. A run that dies leaves it without its mark.
3. pip installs the lock, each file by its hash and none that would have to be built.
4. The new environment is proven as one in use is, gets its mark, and the link is exchanged in one step.
5. The one that was in use stays until the next exchange, because a process may still run in it; older ones are removed.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import re
import secrets
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from .._domain.errors import OpsError
from .._domain.file_failures import failures_of
from .._store.opener import require_own_folder
from .._store.private_files import make_parents, read_trusted, sync_folder
from .environment import CURRENT, PREFIX, Environment, Wanted, examine, look, mark, name_in_use

_LOCK = ".lock"
_SHOWN = 600  # characters of what pip said
_PASSWORD = re.compile(r"(?<=://)[^/@\s]*@")


def make(folder: Path, wanted: Wanted, *, lock_file: Path, wheels: Path | None) -> Environment:
    """Return the environment that is in use afterwards. wheels: a folder that takes the place of package indexes.

    Raises OpsError runtime.*, file.*.
    """
    with failures_of(folder), readable_by_all():
        make_parents(folder / CURRENT)
        require_own_folder(folder.parent, shared=True)
        require_own_folder(folder)
        folder.chmod(0o755)  # the service's user runs its HSM calls with this Python
        with _locked(folder):
            found = look(folder, wanted)
            if not found.trouble:
                return found
            _require_lock(lock_file, wanted)
            _remove_others(folder, keep={name_in_use(folder)})
            place = folder / f"{PREFIX}{wanted.lock_sha256[:12]}-{secrets.token_hex(3)}"
            made = _made(place, wanted, lock_file, wheels)
            _exchange(folder, place)
            return made


@contextmanager
def readable_by_all() -> Iterator[None]:
    """Make files 0644 and folders 0755 in this block, whatever the caller's umask is. No file here holds a secret."""
    before = os.umask(0o022)
    try:
        yield
    finally:
        os.umask(before)


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    descriptor = os.open(folder / _LOCK, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _require_lock(lock_file: Path, wanted: Wanted) -> None:
    found = hashlib.sha256(read_trusted(lock_file)).hexdigest()
    if found != wanted.lock_sha256:
        raise OpsError(
            f"{lock_file} has SHA-256 {found}, expected {wanted.lock_sha256}",
            code="runtime.lock_differs",
            hint="give `lock_file` and `lock_sha256` of one lock; the role runtime does",
        )


def _made(place: Path, wanted: Wanted, lock_file: Path, wheels: Path | None) -> Environment:
    """Return a new environment, proven and marked; nothing is left of it after a failure."""
    python = str(place / "bin" / "python")
    offline = ["--no-index", "--find-links", str(wheels)] if wheels else []
    try:
        _run([sys.executable, "-I", "-m", "venv", str(place)], code="runtime.not_made", hint=_VENV)
        _run(
            [python, "-I", "-m", "pip", "install", *_HASHED, "--no-cache-dir", *offline, "-r", str(lock_file)],
            code="runtime.not_installed",
            hint=_WHEELS if wheels else _INDEX,
        )
        # WHY the mark before the proof: it is part of what is examined. SAFE BECAUSE the link does not point here yet.
        mark(place, wanted.lock_sha256)
        made = examine(place, wanted)
        if made.trouble:
            message = f"a new environment at {place} cannot be used: {made.trouble}"
            raise OpsError(message, code="runtime.not_usable", hint=_UNUSABLE)
        sync_folder(place)
    except BaseException:
        shutil.rmtree(place, ignore_errors=True)
        raise
    return made


_HASHED = ("--require-hashes", "--only-binary", ":all:")
_VENV = "look at what it said; on Debian and Ubuntu a package has what it needs, as python3.11-venv for python3.11"
_INDEX = (
    "look at pip's configuration on this host (pip config list), or have the role runtime bring the libraries from the "
    "controller: `runtime_wheels`"
)
_WHEELS = "make the folder of wheels anew for this host's Python and processor, as the README of the role runtime says"
_UNUSABLE = "look at how its file system is mounted (noexec?), or choose another folder: `runtime_path`"


def _run(argv: list[str], *, code: str, hint: str) -> None:
    """Run a step of the making. Raises OpsError with what it said last."""
    environment = {name: value for name, value in os.environ.items() if name not in ("PIP_TARGET", "PIP_PREFIX")}
    environment |= {"PIP_USER": "0", "PIP_REQUIRE_VIRTUALENV": "0", "PIP_NO_INPUT": "1",
                    "PIP_DISABLE_PIP_VERSION_CHECK": "1"}  # fmt: skip
    # WHY not run_command: what is below the modules does not know Ansible. No shell, no secret in argv.
    done = subprocess.run(  # pylint: disable=ansible-bad-function
        argv, env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        errors="replace", check=False,
    )  # fmt: skip  # runs: python (of the environment, or this one)
    if done.returncode:
        raise OpsError(f"{' '.join(argv[:4])} ended with {done.returncode}: {_said(done.stdout)}", code=code, hint=hint)


def _said(output: str) -> str:
    """Return pip's errors, or the last lines where it names none. Addresses come without what may be a password."""
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    told = [line for line in lines if line.startswith("ERROR")] or lines[-3:]
    return _PASSWORD.sub("", " ".join(told))[-_SHOWN:]


def _exchange(folder: Path, made: Path) -> None:
    """Point the link at the new environment, in one step and durably. Raises OSError."""
    before = name_in_use(folder)
    fresh = folder / f".{CURRENT}-{secrets.token_hex(3)}"
    fresh.symlink_to(made.name, target_is_directory=True)
    try:
        fresh.replace(folder / CURRENT)
    except OSError:
        fresh.unlink(missing_ok=True)
        raise
    sync_folder(folder)
    _remove_others(folder, keep={made.name, before})


def _remove_others(folder: Path, *, keep: set[str]) -> None:
    """Remove environments that are neither in use nor were until now, and links of runs that died."""
    for path in folder.iterdir():
        if path.name.startswith(PREFIX) and path.name not in keep:
            shutil.rmtree(path, ignore_errors=True)
        elif path.name.startswith(f".{CURRENT}-"):
            with contextlib.suppress(OSError):
                path.unlink()
