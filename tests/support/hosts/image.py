# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The image of the hosts, made by mmdebstrap, kept in a cache under the digest of all that it is made of."""

from __future__ import annotations

import fcntl
import hashlib
import os
import platform
import shlex
import shutil
import subprocess
import sys
import tempfile
import time
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from ..processes import REPOSITORY
from .apt_sources import for_suite
from .available import cache_folder
from .engine import podman

PARTS = Path(__file__).parent / "image"
PACKAGES = (
    "systemd", "systemd-sysv", "dbus", "python3", "python3-venv", "python3-apt", "iproute2", "sudo", "ca-certificates",
    "procps", "openssh-server", "softhsm2", "opensc", "acl", "curl",
)  # fmt: skip
# What the stand-in and the modules import, and what that needs.
LIBRARIES = (
    "asn1crypto", "cffi", "cryptography", "dnspython", "pycparser", "pykcs11", "pymongo", "pyrage", "python-pkcs11",
    "pyyaml", "typing-extensions",
)  # fmt: skip


@dataclass(frozen=True)
class Suite:
    """python: of the distribution, "" where it is too old for the collection: then the product is not installed."""

    name: str
    python: str


SUITES = {
    "bookworm": Suite("bookworm", "3.11"),
    "trixie": Suite("trixie", "3.13"),
    "bullseye": Suite("bullseye", ""),  # its only python3 is 3.9
}
USUAL = "bookworm"


def chosen(otherwise: str = USUAL) -> str:
    """Return what HOSTS_SUITE of the environment says of suites, or what a test wants otherwise."""
    return os.environ.get("HOSTS_SUITE") or otherwise


def suites_of(names: tuple[str, ...], said: str) -> dict[str, Suite]:
    """Return the suite of each host. Raises ValueError for one that is not known.

    said: `trixie` for all hosts, or `bookworm,new=trixie`: another for the hosts whose names begin so; the last wins.
    """
    found = dict.fromkeys(names, USUAL)
    for part in said.split(",") if said else []:
        beginning, _equals, suite = part.rpartition("=")
        if suite not in SUITES:
            raise ValueError(f"{suite or part!r} is no suite, expected one of {', '.join(sorted(SUITES))}")
        found.update({name: suite for name in names if name.startswith(beginning)})
    return {name: SUITES[suite] for name, suite in found.items()}


def ensure(suite: Suite) -> str:
    """Return the name of the image in podman's storage, built where it is missing (about a minute and 300 MB)."""
    key = _key(suite)
    name = f"localhost/certautopilot-ops/host-{suite.name}:{key}"
    with _locked(f"{suite.name}-{key}"):
        if podman("image", "exists", name, check=False).returncode:
            podman(
                "import", "--change", 'CMD ["/usr/local/sbin/host-init"]', "--change", "STOPSIGNAL SIGRTMIN+3",
                str(_archive(suite, key)), name, timeout=600,
            )  # fmt: skip
    return name


def wheels(suite: Suite, libraries: tuple[str, ...] = LIBRARIES) -> Path | None:
    """Return a folder of libraries as wheels for the suite's Python, by our lock's hashes; None where it is too old."""
    if not suite.python:
        return None
    wanted = locked(suite.python, libraries)
    folder = cache_folder() / f"wheels-{suite.name}-{hashlib.sha256(wanted.encode()).hexdigest()[:12]}"
    with _locked(folder.name):
        if not folder.exists():
            _download(wanted, suite.python, folder)
    return folder


def unpacked(suite: Suite, libraries: tuple[str, ...]) -> Path:
    """Return a folder from which the suite's Python imports libraries, so that a host needs no pip to have them."""
    packed = wheels(suite, libraries)
    if packed is None:
        raise ValueError(f"python3 of {suite.name} is too old for {libraries[0]}: give that host another suite")
    folder = packed.with_name(f"{packed.name}-unpacked")
    with _locked(folder.name), tempfile.TemporaryDirectory(dir=folder.parent) as made:
        if not folder.exists():
            whole = Path(made, "whole")
            for wheel in packed.iterdir():
                with zipfile.ZipFile(wheel) as archive:
                    archive.extractall(whole)
            for path in (whole, *whole.rglob("*")):
                path.chmod(0o755 if path.is_dir() else 0o644)  # its users read it, whatever umask made it
            whole.replace(folder)
    return folder


def locked(python: str, libraries: tuple[str, ...] = LIBRARIES) -> str:
    """Return the lines of our lock for libraries."""
    lock = REPOSITORY / "requirements" / f"dev-py{python.replace('.', '')}.txt"
    entries = lock.read_text(encoding="utf-8").replace("\\\n", " ").splitlines()
    return "".join(f"{entry}\n" for entry in entries if entry.partition("==")[0].lower() in libraries)


def _download(wanted: str, python: str, folder: Path) -> None:
    machine = platform.machine()
    platforms = [f"manylinux_2_{minor}_{machine}" for minor in range(36, 4, -1)]
    platforms += [f"manylinux2014_{machine}", f"manylinux2010_{machine}", f"manylinux1_{machine}"]
    with tempfile.TemporaryDirectory(dir=folder.parent) as made:
        requirements = Path(made) / "requirements.txt"
        requirements.write_text(wanted, encoding="utf-8")
        _run([
            sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary", ":all:",
            "--require-hashes", "--python-version", python, "--implementation", "cp",
            *(word for name in platforms for word in ("--platform", name)),
            "--dest", f"{made}/wheels", "--requirement", str(requirements),
        ])  # fmt: skip
        Path(made, "wheels").replace(folder)


def _key(suite: Suite) -> str:
    digest = hashlib.sha256(repr((suite, PACKAGES, platform.machine())).encode())
    for part in sorted(PARTS.iterdir()):
        digest.update(part.name.encode() + b"\0" + part.read_bytes())
    if suite.python:
        digest.update(locked(suite.python).encode())
    return digest.hexdigest()[:12]


def _archive(suite: Suite, key: str) -> Path:
    """Return the root file system as a tar, built where it is not in the cache."""
    archive = cache_folder() / f"{suite.name}-{key}.tar"
    if archive.exists():
        return archive
    started = time.monotonic()
    print(f"hosts: building the image of {suite.name} (once, about a minute)", file=sys.stderr, flush=True)
    customize = f'{shlex.quote(str(PARTS / "customize.sh"))} "$1" {shlex.quote(str(wheels(suite) or ""))}'
    with tempfile.TemporaryDirectory(dir=cache_folder()) as made:
        line = ["mmdebstrap", "--mode=root", "--variant=apt", "--format=tar", f"--include={','.join(PACKAGES)}"]
        line += [f"--customize-hook={customize}", suite.name, f"{made}/root.tar", *for_suite(suite.name, Path(made))]
        _run(line)
        Path(made, "root.tar").replace(archive)
    print(f"hosts: built in {time.monotonic() - started:.0f} s: {archive}", file=sys.stderr, flush=True)
    return archive


def _run(line: list[str]) -> None:
    ended = subprocess.run(line, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL)
    if ended.returncode:
        raise RuntimeError(f"{' '.join(line[:3])}: exit status {ended.returncode}: {ended.stderr.strip()[-3000:]}")


@contextmanager
def _locked(name: str) -> Iterator[None]:
    """Let one process build what several ask for."""
    with open(cache_folder() / f"{name}.lock", "w", encoding="ascii") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def remove_all() -> None:
    """Remove every image, wheel and tar of the cache. Raises RuntimeError while a set of hosts uses one."""
    if podman("ps", "--all", "--quiet").stdout.strip():
        raise RuntimeError("a set of hosts still uses the images: take it down first")
    podman("rmi", "--all", "--force")
    for path in cache_folder().iterdir():
        if path.suffix in (".tar", ".lock"):
            path.unlink()
        elif path.name.startswith("wheels-"):
            shutil.rmtree(path)
