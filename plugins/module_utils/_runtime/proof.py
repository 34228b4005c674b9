# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The proof that an environment has what its lock says: its Python looks at each file, then imports each library."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from .._keys import registry

# What the modules of the collection import, at a place that loads the compiled part where there is one.
IMPORTS = ("pymongo", "bson", "cryptography.hazmat.primitives.ciphers.aead", "yaml", "pyrage", *registry.libraries())
TIMEOUT_S = 120

# WHY the digests: an import touches a tenth of the files, and a lost block shows itself when it matters most.
_PROGRAM = r"""
import base64, csv, hashlib, importlib, importlib.metadata, json, os, sys


def trouble_of(name, version):
    try:
        found = importlib.metadata.distribution(name)
    except importlib.metadata.PackageNotFoundError:
        return f"{name} is missing"
    if found.version != version:
        return f"{name} is {found.version}, expected {version}"
    # WHY not `files`: from Python 3.12 on it leaves out those that are not there.
    listed = list(csv.reader((found.read_text("RECORD") or "").splitlines()))
    if not listed:
        return f"the list of files of {name} is missing"
    for path, recorded, *_size in listed:
        if recorded:
            kind, _equals, wanted = recorded.partition("=")
            try:
                digest = hashlib.new(kind, found.locate_file(path).read_bytes()).digest()
            except OSError as cause:
                return f"{path} of {name} cannot be read ({type(cause).__name__})"
            if base64.urlsafe_b64encode(digest).rstrip(b"=").decode() != wanted:
                return f"{path} of {name} is not what was installed"
    return ""


def first_trouble(libraries, imports):
    for name, version in libraries.items():
        trouble = trouble_of(name, version)
        if trouble:
            return trouble
    for name in imports:
        try:
            importlib.import_module(name)
        except Exception as cause:
            return f"{name} cannot be imported ({type(cause).__name__}: {cause})"
    return ""


given = json.load(sys.stdin)
base = os.path.realpath(sys._base_executable)
said = {"trouble": first_trouble(given["libraries"], given["imports"]), "base": base, "version": sys.version.split()[0]}
print(json.dumps(said))
"""


@dataclass(frozen=True, slots=True)
class Proof:
    """trouble: the first thing that is wrong, "" for none. base: the interpreter behind it. version: of the two."""

    trouble: str
    base: str = ""
    version: str = ""


def prove(python: Path, libraries: Mapping[str, str]) -> Proof:
    """Return what an environment's own Python says of it. libraries: name -> version, as the lock has them."""
    given = json.dumps({"libraries": dict(libraries), "imports": IMPORTS})
    try:
        # WHY -I: neither the environment of the caller nor its working folder may bring in another library.
        line = [str(python), "-I", "-c", _PROGRAM]
        # WHY not run_command: what is below the modules does not know Ansible. No shell, no secret in argv.
        told = subprocess.run(  # runs: python  # pylint: disable=ansible-bad-function
            line, input=given, capture_output=True, text=True, timeout=TIMEOUT_S, check=False
        )
        said = json.loads(told.stdout)
    except (OSError, subprocess.TimeoutExpired) as cause:
        return Proof(f"{python} does not run ({type(cause).__name__})")
    except ValueError:
        return Proof(f"{python} ended with {told.returncode}: {' '.join(told.stderr.split())[-200:]}")
    return Proof(str(said["trouble"]), str(said["base"]), str(said["version"]))
