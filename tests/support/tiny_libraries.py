# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Wheels that have the names of the libraries and nothing in them, and a lock of them: an environment without an index.

What an environment is, and what becomes of it, does not depend on what its libraries can do.
"""

from __future__ import annotations

import base64
import hashlib
import json
import os
import sys
import zipfile
from pathlib import Path

VERSION = "1.0"
# name on the index -> its files
CONTENTS = {
    "pymongo": ("pymongo/__init__.py", "bson/__init__.py"),
    "cryptography": tuple(
        f"{folder}/__init__.py"
        for folder in ("cryptography", "cryptography/hazmat", "cryptography/hazmat/primitives",
                       "cryptography/hazmat/primitives/ciphers", "cryptography/hazmat/primitives/ciphers/aead")
    ),
    "pyyaml": ("yaml/__init__.py",),
    "pyrage": ("pyrage/__init__.py",),
    "python-pkcs11": ("pkcs11/__init__.py",),
}  # fmt: skip
LIBRARIES = dict.fromkeys(CONTENTS, VERSION)


def files_of(name: str, text: str) -> dict[str, str]:
    """Return path -> content of an installed library, its list of files included."""
    info = f"{name.replace('-', '_')}-{VERSION}.dist-info"
    files = dict.fromkeys(CONTENTS[name], f"TEXT = {text!r}\n")
    files[f"{info}/METADATA"] = f"Metadata-Version: 2.1\nName: {name}\nVersion: {VERSION}\n"
    files[f"{info}/WHEEL"] = "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
    rows = [f"{path},sha256={_digest(content)},{len(content)}" for path, content in files.items()]
    files[f"{info}/RECORD"] = "\n".join([*rows, f"{info}/RECORD,,", ""])
    return files


def write_wheels(folder: Path, text: str = "") -> str:
    """Write the wheels and return their lock. text: what they hold; another text has other hashes."""
    folder.mkdir(parents=True, exist_ok=True)
    lock = []
    for name in CONTENTS:
        path = folder / f"{name.replace('-', '_')}-{VERSION}-py3-none-any.whl"
        with zipfile.ZipFile(path, "w") as packed:
            for place, content in files_of(name, text).items():
                packed.writestr(zipfile.ZipInfo(place), content)
        lock.append(f"{name}=={VERSION} \\\n    --hash=sha256:{hashlib.sha256(path.read_bytes()).hexdigest()}\n")
    return "".join(lock)


def write_environment(folder: Path, lock: str, name: str = "env-of-a-test") -> Path:
    """Write an environment in use, as an earlier run would have left it, but without pip; return its folder."""
    place = folder / name
    packages = place / "lib" / f"python{sys.version_info[0]}.{sys.version_info[1]}" / "site-packages"
    for library in CONTENTS:
        for path, content in files_of(library, "").items():
            (packages / path).parent.mkdir(parents=True, exist_ok=True)
            (packages / path).write_text(content)
    base = os.path.realpath(sys._base_executable)
    (place / "bin").mkdir()
    (place / "bin" / "python").symlink_to(base)
    (place / "pyvenv.cfg").write_text(f"home = {Path(base).parent}\ninclude-system-site-packages = false\n")
    mark = {"lock_sha256": hashlib.sha256(lock.encode()).hexdigest()}
    (place / "certautopilot-runtime.json").write_text(json.dumps(mark))
    for path in (folder, *folder.rglob("*")):
        if not path.is_symlink():
            path.chmod(0o755 if path.is_dir() else 0o644)
    (folder / "current").symlink_to(name)
    return place


def _digest(content: str) -> str:
    return base64.urlsafe_b64encode(hashlib.sha256(content.encode()).digest()).rstrip(b"=").decode()
