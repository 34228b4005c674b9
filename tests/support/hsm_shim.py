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
# Places in CK_FUNCTION_LIST, PKCS#11 2.40, of those functions that a client of one AES key can meet.
FUNCTIONS = {
    "C_Initialize": 0, "C_Finalize": 1, "C_GetInfo": 2, "C_GetSlotList": 4, "C_GetSlotInfo": 5, "C_GetTokenInfo": 6,
    "C_GetMechanismList": 7, "C_GetMechanismInfo": 8, "C_OpenSession": 12, "C_CloseSession": 13,
    "C_CloseAllSessions": 14, "C_GetSessionInfo": 15, "C_Login": 18, "C_Logout": 19, "C_DestroyObject": 22,
    "C_GetAttributeValue": 24, "C_FindObjectsInit": 26, "C_FindObjects": 27, "C_FindObjectsFinal": 28,
    "C_EncryptInit": 29, "C_Encrypt": 30, "C_EncryptFinal": 32, "C_DecryptInit": 33, "C_Decrypt": 34,
    "C_DecryptFinal": 36, "C_GenerateKey": 58, "C_GenerateRandom": 64,
}  # fmt: skip
# Those that tell something which can be wrong, and those that can say CKR_OK without having done or found anything.
TELLS = (
    "C_GetSlotList", "C_GetSlotInfo", "C_GetTokenInfo", "C_GetMechanismList", "C_GetMechanismInfo", "C_OpenSession",
    "C_GetSessionInfo", "C_GetAttributeValue", "C_FindObjects", "C_Encrypt", "C_Decrypt", "C_GenerateKey",
    "C_GenerateRandom",
)  # fmt: skip
CAN_DO_NOTHING = (
    "C_Initialize", "C_Finalize", "C_GetSlotList", "C_GetMechanismList", "C_CloseSession", "C_CloseAllSessions",
    "C_Login", "C_Logout", "C_DestroyObject", "C_FindObjectsInit", "C_FindObjects", "C_FindObjectsFinal",
    "C_EncryptInit", "C_DecryptInit",
)  # fmt: skip
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


def fault(function: str, kind: str, **more: object) -> dict[str, object]:
    """Return the faults, for `environment`, that make one function of the library fail."""
    return {"fault_function": FUNCTIONS[function], "fault_kind": kind, **more}


def counters(state: Path) -> dict[str, int]:
    """Return what the shim counted in the file of SHIM_STATE, by the names of its header."""
    [listed] = re.findall(r"enum counter \{(.*?)\}", STATE_HEADER.read_text(), re.S)
    names = re.findall(r"\w+", listed)[:-1]
    return dict(zip(names, struct.unpack_from(f"={len(names)}Q", state.read_bytes()), strict=True))
