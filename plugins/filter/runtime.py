# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Filters for the role runtime: what a lock pins, which interpreter of a host is fit, and which wheels go there.

Pure functions of what the controller read and the host said. No secret is in any of it.
"""

from __future__ import annotations

import hashlib
import json
import re
import shlex
from collections.abc import Callable, Iterable, Mapping
from pathlib import PurePath

from ansible.errors import AnsibleFilterError

try:
    from packaging.tags import Tag
    from packaging.utils import InvalidWheelFilename, canonicalize_name, parse_wheel_filename
    from packaging.version import Version
except ImportError:  # ansible-core needs it, so it is there; ansible-test imports plugins without what they need
    pass

NEEDED = (3, 11)  # as _module/interpreter.py has it
SAID = "certautopilot-python "  # what a line of an interpreter begins with; others are those of /etc/os-release
_PIN = re.compile(r"^([A-Za-z0-9._-]+)==([^\s;\\]+)", re.MULTILINE)
_UV = "or have uv bring one: UV_PYTHON_INSTALL_DIR=/opt/python uv python install 3.12"
# Distribution as ID or ID_LIKE of os-release has it, the versions this is said of, and the way out.
_WAYS = (
    ("ubuntu", ("20.04", "22.04"), f"add the deadsnakes archive and apt-get install python3.12 python3.12-venv, {_UV}"),
    ("debian", ("10", "11"), f"this release has none; upgrade it to Debian 12, {_UV}"),
    ("debian", (), "apt-get install python3 python3-venv"),
    ("amzn", (), "dnf install python3.12"),
    (
        "fedora",
        ("8", "9"),
        "dnf install python3.12",
    ),  # RHEL, Rocky, AlmaLinux, Oracle and CentOS say that they are like it
    ("fedora", (), "dnf install python3"),
    ("suse", (), "zypper install python312"),
)


def runtime_lock(text: str) -> dict[str, object]:
    """Return the digest of a lock's text and what it pins: {sha256, libraries: {name: version}}."""
    libraries = dict(_PIN.findall(text))
    if not libraries or "--hash=sha256:" not in text:
        raise AnsibleFilterError("this is no lock: no line pins a library by name==version and its hashes")
    return {"sha256": hashlib.sha256(text.encode("utf-8")).hexdigest(), "libraries": libraries}


def runtime_pythons(said: str) -> dict[str, object]:
    """Return which interpreters of a host are fit, by what they said of themselves.

    {fit: paths in the order asked, python, version, machine: of the first of them, found: all in words, missing: `venv`
    where one is new enough but cannot make an environment, `python` where none is new enough, "" otherwise, hint}.
    """
    lines = said.splitlines()
    found = [json.loads(line[len(SAID) :]) for line in lines if line.startswith(SAID)]
    release = _os_release(line for line in lines if not line.startswith(SAID))
    new = [one for one in found if _version(one["version"]) >= NEEDED]
    fit = [one for one in new if one["venv"]]
    first = fit[0] if fit else {"path": "", "version": "", "machine": ""}
    missing, hint = (
        ("", "") if fit else ("venv", _venv_hint(new[0], release)) if new else ("python", _python_hint(release))
    )
    return {
        "fit": list(dict.fromkeys(one["path"] for one in fit)),
        "python": first["path"],
        "version": first["version"],
        "machine": first["machine"],
        "found": ", ".join(dict.fromkeys(f"{one['name']} is {one['version']}" for one in found)),
        "missing": missing,
        "hint": hint,
    }


def runtime_wheels(paths: Iterable[str], libraries: Mapping[str, str], python: str, machine: str) -> dict[str, object]:
    """Return which wheels of a folder a host can use, by their names: {fit: paths, missing: what the lock has besides}.

    Whether they are the locked ones, pip tells by their hashes. python: the host's version. machine: as uname says it.
    """
    fit: dict[tuple[str, Version], list[str]] = {}
    for path in sorted(paths):
        try:
            name, release, _build, tags = parse_wheel_filename(PurePath(path).name)
        except InvalidWheelFilename:
            continue
        if any(_runs(tag, _version(python), machine) for tag in tags):
            fit.setdefault((name, release), []).append(path)
    wanted = [(canonicalize_name(name), Version(version)) for name, version in libraries.items()]
    return {
        "fit": [path for one in wanted for path in fit.get(one, [])],
        "missing": [f"{name} {version}" for name, version in wanted if (name, version) not in fit],
    }


def _runs(tag: Tag, version: tuple[int, ...], machine: str) -> bool:
    """Return whether a wheel's tag may fit. Which libc it needs, pip decides on the host."""
    python = re.fullmatch(r"(cp|py)3(\d*)", tag.interpreter)
    if not python or not (tag.platform == "any" or tag.platform.endswith(f"_{machine}")):
        return False
    minor = int(python.group(2) or 0)
    return minor <= version[1] if python.group(1) == "py" or tag.abi == "abi3" else minor == version[1]


def _venv_hint(python: Mapping[str, str], release: Mapping[str, str]) -> str:
    name = "python" + ".".join(python["version"].split(".")[:2])
    if "debian" in _kinds(release):
        return f"apt-get install {name}-venv"
    return f"install what {name} needs for `{name} -m venv` on this host, or name another one in runtime_pythons"


def _python_hint(release: Mapping[str, str]) -> str:
    version = release.get("VERSION_ID", "")
    way = next(
        (way for kind, versions, way in _WAYS if kind in _kinds(release)
         and (not versions or version.split(".")[0] in versions or version in versions)),
        f"install one from this distribution, {_UV}",
    )  # fmt: skip
    here = f" ({release['PRETTY_NAME']})" if release.get("PRETTY_NAME") else ""
    return f"on this host{here}: {way}; an interpreter elsewhere is named by its path in runtime_pythons"


def _kinds(release: Mapping[str, str]) -> list[str]:
    return [release.get("ID", ""), *release.get("ID_LIKE", "").split()]


def _os_release(lines: Iterable[str]) -> dict[str, str]:
    """Return NAME -> value of /etc/os-release, whose values are quoted as a shell does."""
    found = {}
    for line in lines:
        name, equals, value = line.strip().partition("=")
        if equals and re.fullmatch(r"[A-Z_]+", name):
            try:
                found[name] = "".join(shlex.split(value))
            except ValueError:
                continue
    return found


def _version(text: str) -> tuple[int, ...]:
    return tuple(int(part) for part in re.findall(r"\d+", text)[:2])


class FilterModule:
    def filters(self) -> dict[str, Callable[..., object]]:
        return {"runtime_lock": runtime_lock, "runtime_pythons": runtime_pythons, "runtime_wheels": runtime_wheels}
