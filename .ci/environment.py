# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A working development environment, from a bare Debian 12 or 13 or Ubuntu 24.04 with python3.

    python3 .ci/environment.py

Four steps, each of them done only where it is missing: system packages (apt, as root or by sudo), the virtual
environment, the locked requirements (every file by hash), the link through which Python finds the collection.
No package index is named here or in a lock: uv is told at run time what pip on this machine is configured to use.
Runs on the standard library of any Python >= 3.8, so that an unsupported one gets a sentence and not a traceback.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

import commands

ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / ".venv"
STAMP = VENV / "certautopilot-ops.stamp"
TREE = ROOT / ".build" / "collections" / "ansible_collections" / "certautopilot" / "ops"
BOOTSTRAP = ROOT / "requirements" / "bootstrap.txt"
SUPPORTED = ((3, 11), (3, 12), (3, 13))

# pip's setting -> the variable by which uv takes the same, and what joins its values. Variables, not options: an
# index address may hold a password, and the command line of a process is readable by every user of the machine.
PIP_TO_UV = {
    "index-url": ("UV_DEFAULT_INDEX", " "),
    "extra-index-url": ("UV_INDEX", " "),
    "find-links": ("UV_FIND_LINKS", ","),
    "trusted-host": ("UV_INSECURE_HOST", " "),
    "cert": ("SSL_CERT_FILE", ""),
}


def main() -> int:
    """Exit status of `make env`: 0 when everything is there, 1 with one sentence on stderr otherwise."""
    try:
        interpreter = find_interpreter()
        provide_commands()
        if STAMP.is_file() and STAMP.read_text(encoding="utf-8") == stamp_for(interpreter):
            say(f"{VENV.name} is up to date (Python {version_text(interpreter)})")
        else:
            build_venv(interpreter)
        link_tree()
    except SetupError as err:
        print(f"make env: {err}", file=sys.stderr)
        return 1
    return 0


class SetupError(Exception):
    """One sentence: what is missing, and what to do about it."""


def say(text: str) -> None:
    print(f"make env: {text}", flush=True)


def run(argv: list[str], env: dict[str, str] | None = None) -> bool:
    """True if the command ended with 0. Its output goes to the terminal; no argument may be a secret."""
    say(" ".join(os.path.relpath(arg, ROOT) if arg.startswith(str(ROOT)) else arg for arg in argv))
    return subprocess.run(argv, env=env, check=False, stdin=subprocess.DEVNULL).returncode == 0


# --- the interpreter ------------------------------------------------------------------------------------------------


def find_interpreter() -> str:
    """Path of the real interpreter to build on: the running one if supported, else the newest supported on PATH."""
    names = [sys.executable, *(f"python{major}.{minor}" for major, minor in reversed(SUPPORTED))]
    for name in names:
        answer = real_interpreter(name)
        if answer and answer[0] in SUPPORTED:
            return answer[1]  # runs: python3
    known = ", ".join(f"{major}.{minor}" for major, minor in SUPPORTED)
    raise SetupError(
        f"found Python {sys.version_info[0]}.{sys.version_info[1]} ({sys.executable}), expected one of {known}; "
        "install one and run `make env PYTHON=/path/to/python3.12`"
    )


def real_interpreter(name: str) -> tuple[tuple[int, int], str] | None:
    """(version, path) behind a name, a pyenv shim or a venv; None if it does not run.

    WHY not the name itself: a venv made from a shim breaks as soon as the shim points to another version.
    """
    code = (
        "import os, sys; base = getattr(sys, '_base_executable', sys.executable);"
        "print(*sys.version_info[:2], os.path.realpath(base))"
    )
    try:
        done = subprocess.run(
            [name, "-c", code], check=False, capture_output=True, text=True, timeout=60
        )  # runs: python3
    except OSError:
        return None
    parts = done.stdout.split(None, 2)
    if done.returncode or len(parts) != 3:
        return None
    return (int(parts[0]), int(parts[1])), parts[2].strip()


def version_text(interpreter: str) -> str:
    answer = real_interpreter(interpreter)
    return f"{answer[0][0]}.{answer[0][1]}" if answer else "?"


# --- system packages ------------------------------------------------------------------------------------------------


def provide_commands() -> None:
    """Install what is missing of .ci/commands.py; the required packages first, lest an optional one stops them."""
    missing = unmet(commands.REQUIRED)
    if missing:
        apt_install(packages_of(missing))
        for need in unmet(commands.REQUIRED):
            raise SetupError(f"{' '.join(need.packages)} is installed, but not found: {need.sought()}")
    missing = unmet(commands.OPTIONAL)
    try:
        if missing:
            apt_install(packages_of(missing))
    except SetupError as err:
        say(f"{err} (tests that need it are skipped)")


def unmet(needs: tuple[commands.Need, ...]) -> list[commands.Need]:
    return [need for need in needs if not need.is_met()]


def packages_of(needs: list[commands.Need]) -> list[str]:
    return sorted({package for need in needs for package in need.packages})


def apt_install(packages: list[str]) -> None:
    """Installed Debian packages. The list of packages is fetched only if the first try does not find them."""
    names = " ".join(packages)
    if shutil.which("apt-get") is None:
        raise SetupError(f"this host has no apt-get; install {names} in this system's own way and repeat")
    prefix: list[str] = []
    if os.geteuid() != 0:
        if shutil.which("sudo") is None:
            raise SetupError(f"missing {names}, and neither root nor sudo at hand; as root: apt-get install {names}")
        prefix = ["sudo", "--preserve-env=DEBIAN_FRONTEND"]
    env = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    apt = [*prefix, "apt-get", "-o", "DPkg::Lock::Timeout=300", "-q"]
    install = [*apt, "install", "-y", "--no-install-recommends", *packages]
    if run(install, env) or (run([*apt, "update"], env) and run(install, env)):
        return
    raise SetupError(f"apt-get could not install {names}; install it by hand and repeat")


# --- the virtual environment ----------------------------------------------------------------------------------------


def lock_for(interpreter: str) -> Path:
    return ROOT / "requirements" / f"dev-py{version_text(interpreter).replace('.', '')}.txt"


def stamp_for(interpreter: str) -> str:
    """What the environment was made of: interpreter, locks, and this file."""
    digest = hashlib.sha256()
    for path in (lock_for(interpreter), BOOTSTRAP, Path(__file__)):
        digest.update(path.read_bytes())
    return f"{interpreter} {digest.hexdigest()}\n"


def build_venv(interpreter: str) -> None:
    """`.venv` with exactly the locked requirements, and uv which put them there."""
    python = str(VENV / "bin" / "python")
    answer = real_interpreter(python)
    STAMP.unlink(missing_ok=True)
    if answer is None or answer[1] != interpreter:
        shutil.rmtree(VENV, ignore_errors=True)
        create_venv(interpreter)
    pip = [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--require-hashes"]
    if not run([*pip, "-r", str(BOOTSTRAP)]):
        raise SetupError("pip could not install uv; is the package index that pip is configured for reachable?")
    # WHY bytecode now: where PYTHONDONTWRITEBYTECODE is set, as in many container images, each of the thousands of
    # processes that the tests start would compile all of its libraries again, which takes as long as all else it does.
    uv = [str(VENV / "bin" / "uv"), "pip", "install", "--quiet", "--python", python, "--require-hashes"]
    uv += ["--compile-bytecode"]
    # WHY no source distributions: a build would run code that no hash of ours covers.
    if not run([*uv, "--only-binary", ":all:", "-r", str(lock_for(interpreter))], uv_environment(python)):
        raise SetupError(f"uv could not install {lock_for(interpreter).name}; nothing unhashed is tried instead")
    STAMP.write_text(stamp_for(interpreter), encoding="utf-8")


def create_venv(interpreter: str) -> None:
    """An empty `.venv` with pip. Debian and Ubuntu keep what `venv` needs in a package of its own."""
    probe = subprocess.run([interpreter, "-c", "import ensurepip, venv"], check=False, capture_output=True)
    if probe.returncode:
        say("this Python cannot make virtual environments (no ensurepip): the distribution's python3-venv is needed")
        apt_install(["python3-venv", f"python{version_text(interpreter)}-venv"])
    if not run([interpreter, "-m", "venv", str(VENV)]):
        raise SetupError(f"{interpreter} -m venv failed; on Debian and Ubuntu: apt-get install python3-venv")


def uv_environment(python: str, *, one_index: bool = False) -> dict[str, str]:
    """The process environment plus what pip is configured for, in uv's words. What is set for uv itself stays.

    one_index: leave extra indexes and folders out, as resolving a lock must.
    """
    env = dict(os.environ)
    for key, value in pip_settings(python).items():
        if one_index and key in ("extra-index-url", "find-links"):
            continue
        name, joint = PIP_TO_UV[key]
        if not any(env.get(known) for known in (name, name.replace("DEFAULT_INDEX", "INDEX_URL"))):
            env[name] = joint.join(value.split()) if joint else value
    # SAFE BECAUSE every file is checked by hash: with several indexes uv would otherwise stop at the first that
    # knows a name, even if only another one has the locked version. Not safe for resolving a lock.
    if not one_index:
        env.setdefault("UV_INDEX_STRATEGY", "unsafe-best-match")
    return env


def pip_settings(python: str) -> dict[str, str]:
    """pip's effective settings that name where packages come from; environment over [install] over [global]."""
    listed = subprocess.run([python, "-m", "pip", "config", "list"], check=False, capture_output=True, text=True)
    settings: dict[str, str] = {}
    for section in ("global.", "install.", ":env:."):
        for line in listed.stdout.splitlines():
            key, _equals, value = line.partition("=")
            if key.startswith(section) and key[len(section) :] in PIP_TO_UV:
                settings[key[len(section) :]] = value.strip("'\"").replace("\\n", " ").strip()
    return settings


# --- the import tree ------------------------------------------------------------------------------------------------


def link_tree() -> None:
    """The checkout, under the only name by which Ansible and Python import it."""
    if TREE.is_symlink() and TREE.resolve() == ROOT:
        return
    TREE.parent.mkdir(parents=True, exist_ok=True)
    TREE.unlink(missing_ok=True)
    TREE.symlink_to(os.path.relpath(ROOT, TREE.parent), target_is_directory=True)


if __name__ == "__main__":
    sys.exit(main())
