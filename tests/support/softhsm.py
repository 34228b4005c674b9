# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""SoftHSM2 tokens for tests and the demo, made and looked at with PyKCS11 in a process of its own.

A process reads SOFTHSM2_CONF once, when it loads the library, so every call here is a child. PINs travel on standard
input, never in arguments.

    python -m tests.support.softhsm init --folder DIR --label LABEL     (PINs as two lines on standard input: SO, user)
    python -m tests.support.softhsm keys --folder DIR --label LABEL     (user PIN on standard input; JSON out)
    python -m tests.support.softhsm tokens --folder DIR --label LABEL   (JSON out: the serial numbers)
    python -m tests.support.softhsm destroy --folder DIR --label LABEL --key-label KEY   (user PIN on standard input)
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from . import processes

PLACES = (
    "/usr/lib/softhsm/libsofthsm2.so",
    "/usr/lib/x86_64-linux-gnu/softhsm/libsofthsm2.so",
    "/usr/lib/aarch64-linux-gnu/softhsm/libsofthsm2.so",
    "/usr/lib64/pkcs11/libsofthsm2.so",
    "/usr/local/lib/softhsm/libsofthsm2.so",
)


def module_path() -> str:
    """Return the path of SoftHSM2's library. Raises RuntimeError when this host has none."""
    for place in (os.environ.get("SOFTHSM2_MODULE", ""), *PLACES):
        if place and Path(place).exists():
            return place
    raise RuntimeError("no libsofthsm2.so: install softhsm2, or set SOFTHSM2_MODULE")


def configuration(folder: Path) -> Path:
    """Return the softhsm2.conf of a token folder, written when it is not there."""
    conf = folder / "softhsm2.conf"
    (folder / "tokens").mkdir(parents=True, exist_ok=True)
    conf.write_text(f"directories.tokendir = {folder / 'tokens'}\nobjectstore.backend = file\nlog.level = ERROR\n")
    return conf


def call(command: str, folder: Path, label: str, secrets: str, *more: str) -> Any:
    """Run one command of this file in a child; return what it prints as JSON. Raises RuntimeError with its error."""
    arguments = [sys.executable, "-m", __name__, command, "--folder", str(folder), "--label", label, *more]
    environment = processes.repository_environment({"SOFTHSM2_CONF": str(configuration(folder))})
    ended = subprocess.run(arguments, input=secrets, env=environment, capture_output=True, text=True, check=False)
    if ended.returncode:
        raise RuntimeError(ended.stderr)
    return json.loads(ended.stdout)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("command", choices=["init", "keys", "tokens", "destroy"])
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--label", required=True)
    parser.add_argument("--key-label")
    arguments = parser.parse_args()
    os.environ["SOFTHSM2_CONF"] = str(configuration(arguments.folder.resolve()))
    import PyKCS11

    library = PyKCS11.PyKCS11Lib()
    library.load(module_path())
    lines = sys.stdin.read().splitlines()
    if arguments.command == "init":
        answer: Any = _init(PyKCS11, library, arguments.label, *lines[:2])
    elif arguments.command == "tokens":
        found = [library.getTokenInfo(slot).serialNumber for slot in _slots(library, arguments.label)]
        answer = [{"serial": serial.rstrip("\0 ")} for serial in found]
    else:
        answer = _keys(PyKCS11, library, arguments.label, lines[0], arguments.key_label, arguments.command == "destroy")
    json.dump(answer, sys.stdout)


def _slots(library: Any, label: str) -> list[Any]:
    present = library.getSlotList(tokenPresent=True)
    return [slot for slot in present if library.getTokenInfo(slot).label.rstrip("\0 ") == label]


def _init(api: Any, library: Any, label: str, so_pin: str, pin: str) -> dict[str, Any]:
    if _slots(library, label):
        return {"made": False}
    slots = [s for s in library.getSlotList() if not library.getTokenInfo(s).flags & api.CKF_TOKEN_INITIALIZED]
    library.initToken(slots[0], so_pin, label)
    session = library.openSession(slots[0], api.CKF_SERIAL_SESSION | api.CKF_RW_SESSION)
    session.login(so_pin, api.CKU_SO)
    session.initPin(pin)
    session.logout()
    return {"made": True}


def _keys(api: Any, library: Any, label: str, pin: str, key_label: str | None, destroy: bool) -> list[dict[str, Any]]:
    (slot,) = _slots(library, label)
    session = library.openSession(slot, api.CKF_SERIAL_SESSION | api.CKF_RW_SESSION)
    session.login(pin)
    template = [(api.CKA_CLASS, api.CKO_SECRET_KEY), *([(api.CKA_LABEL, key_label)] if key_label else [])]
    found = []
    for key in session.findObjects(template):
        names = [api.CKA_LABEL, api.CKA_ID, api.CKA_SENSITIVE, api.CKA_EXTRACTABLE, api.CKA_VALUE_LEN]
        text, key_id, sensitive, extractable, length = session.getAttributeValue(key, names)
        found.append({"label": text, "id": bytes(key_id).hex(), "sensitive": sensitive, "extractable": extractable,
                      "bits": length * 8})  # fmt: skip
        if destroy:
            session.destroyObject(key)
    return found


if __name__ == "__main__":
    main()
