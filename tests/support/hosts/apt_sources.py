# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Where mmdebstrap gets packages from: this machine's own mirror, of the suite that is asked for."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

FOLDER = Path("/etc/apt")
OS_RELEASE = Path("/etc/os-release")


@dataclass(frozen=True)
class Source:
    uri: str
    suite: str
    components: str
    signed_by: str = ""


def for_suite(suite: str, folder: Path) -> list[str]:
    """Return the arguments that tell mmdebstrap its sources, a file below `folder`; none where it must take its own.

    Only a Debian machine has a Debian mirror configured. Elsewhere mmdebstrap's own default is used.
    """
    codename = _os_release("VERSION_CODENAME")
    if _os_release("ID") != "debian" or not codename:
        return []
    found = [source for source in configured() if source.suite.removesuffix("/updates").split("-")[0] == codename]
    lines = []
    for source in found:
        release, _dash, pocket = source.suite.partition("-")
        if release == codename and pocket in ("", "updates", "security"):
            options = f"[signed-by={source.signed_by}] " if source.signed_by else ""
            lines.append(f"deb {options}{source.uri} {suite}{_dash}{pocket} {source.components}\n")
    if not any(source.suite == codename for source in found):
        return []
    path = folder / "sources.list"
    path.write_text("".join(dict.fromkeys(lines)), encoding="utf-8")
    return [str(path)]


def configured() -> list[Source]:
    """Return the binary sources of this machine, of both notations."""
    found: list[Source] = []
    for path in (FOLDER / "sources.list", *sorted((FOLDER / "sources.list.d").glob("*"))):
        if path.suffix == ".list" and path.is_file():
            found += _one_line_notation(path.read_text(encoding="utf-8", errors="replace"))
        elif path.suffix == ".sources":
            found += _stanzas(path.read_text(encoding="utf-8", errors="replace"))
    return found


def _one_line_notation(text: str) -> list[Source]:
    found = []
    for line in text.splitlines():
        kind, _blank, rest = line.strip().partition(" ")
        if kind != "deb":
            continue
        options = ""
        if rest.lstrip().startswith("["):
            options, _bracket, rest = rest.lstrip()[1:].partition("]")
        signed = next((word.partition("=")[2] for word in options.split() if word.startswith("signed-by=")), "")
        uri, suite, *components = rest.split()
        found.append(Source(uri, suite, " ".join(components), signed))
    return found


def _stanzas(text: str) -> list[Source]:
    found = []
    for stanza in text.split("\n\n"):
        lines = [line for line in stanza.splitlines() if line and line[0] not in "# \t"]
        fields = {
            name.strip().lower(): value.strip() for name, _colon, value in (line.partition(":") for line in lines)
        }
        if "deb" in fields.get("types", "").split() and fields.get("enabled", "yes") != "no":
            found += [
                Source(uri, suite, fields.get("components", ""), fields.get("signed-by", ""))
                for uri in fields.get("uris", "").split()
                for suite in fields.get("suites", "").split()
            ]
    return found


def _os_release(name: str) -> str:
    lines = OS_RELEASE.read_text(encoding="utf-8").splitlines() if OS_RELEASE.exists() else []
    return next((line.partition("=")[2].strip('"') for line in lines if line.startswith(f"{name}=")), "")
