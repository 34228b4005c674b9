# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The faulty HSM for tests: hsm_shim.c is built, told its faults, and asked what it counted.

Imports nothing of plugins/: its counters are an oracle of what reached the HSM.
"""

from __future__ import annotations

import re
import shutil
import struct
import subprocess
from pathlib import Path

from .softhsm import module_path

SOURCE = Path(__file__).with_name("hsm_shim.c")
STATE_HEADER = Path(__file__).with_name("hsm_shim_state.h")
NO_COMPILER = "no C compiler here to build the faulty library"


def compiler() -> str | None:
    """Return the path of a C compiler, None where there is none."""
    return shutil.which("gcc") or shutil.which("cc")


def build(folder: Path) -> str:
    """Return the path of the library, built in the folder. Raises CalledProcessError when it does not compile."""
    library = folder / "libshim.so"
    command = [str(compiler()), "-O1", "-Wall", "-Wextra", "-Werror", "-shared", "-fPIC", "-o", str(library)]
    subprocess.run([*command, str(SOURCE), "-ldl"], check=True)
    return str(library)


def environment(**faults: object) -> dict[str, str]:
    """Return the variables for these faults: rate_cap=500 is SHIM_RATE_CAP=500."""
    return {"SHIM_MODULE": module_path(), **{f"SHIM_{name.upper()}": str(value) for name, value in faults.items()}}


def counters(state: Path) -> dict[str, int]:
    """Return what the shim counted in the file of SHIM_STATE, by the names of its header."""
    [listed] = re.findall(r"enum counter \{(.*?)\}", STATE_HEADER.read_text(), re.S)
    names = re.findall(r"\w+", listed)[:-1]
    return dict(zip(names, struct.unpack_from(f"={len(names)}Q", state.read_bytes()), strict=True))
