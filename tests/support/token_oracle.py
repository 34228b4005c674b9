# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""An independent hand on a SoftHSM2 token: PyKCS11 in a process of its own, orders as JSON on standard input.

Imports nothing of plugins/: it is the oracle that says what is in the token and what a wrap holds. PINs travel in the
JSON, never in arguments. Run as a script; `ask` is the way to it.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from typing import Any


def ask(conf: str, module_path: str, **order: Any) -> Any:
    """Return what the oracle found. Raises AssertionError with its standard error when it failed."""
    ended = subprocess.run(
        [sys.executable, __file__],
        input=json.dumps({"module_path": module_path, **order}),
        env={**os.environ, "SOFTHSM2_CONF": conf},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr
    return json.loads(ended.stdout)


def _obey(order: Mapping[str, Any]) -> Any:
    import PyKCS11

    library = PyKCS11.PyKCS11Lib()
    library.load(order["module_path"])
    if order["do"] == "init":
        return _init(PyKCS11, library, order)
    slots = library.getSlotList(tokenPresent=True)
    [slot] = [slot for slot in slots if library.getTokenInfo(slot).label.rstrip("\0 ") == order["token"]]
    session = library.openSession(slot, PyKCS11.CKF_SERIAL_SESSION | PyKCS11.CKF_RW_SESSION)
    session.login(order["pin"])
    does = {"keys": _keys, "make": _make, "destroy": _destroy, "open": _open, "seal": _seal, "set_pin": _set_pin}
    return does[order["do"]](PyKCS11, session, order)


def _init(api: Any, library: Any, order: Mapping[str, Any]) -> str:
    slot = next(s for s in library.getSlotList() if not library.getTokenInfo(s).flags & api.CKF_TOKEN_INITIALIZED)
    library.initToken(slot, order["so_pin"], order["token"])
    session = library.openSession(slot, api.CKF_SERIAL_SESSION | api.CKF_RW_SESSION)
    session.login(order["so_pin"], api.CKU_SO)
    session.initPin(order["pin"])
    session.logout()
    return str(library.getTokenInfo(slot).serialNumber).rstrip("\0 ")


def _set_pin(_api: Any, session: Any, order: Mapping[str, Any]) -> None:
    session.setPin(order["pin"], order["new_pin"])


def _find(api: Any, session: Any, order: Mapping[str, Any]) -> list[Any]:
    template = [(api.CKA_CLASS, api.CKO_SECRET_KEY)]
    if "label" in order:
        template.append((api.CKA_LABEL, order["label"]))
    if "id" in order:
        template.append((api.CKA_ID, bytes.fromhex(order["id"])))
    return list(session.findObjects(template))


def _keys(api: Any, session: Any, order: Mapping[str, Any]) -> list[dict[str, Any]]:
    names = {"label": api.CKA_LABEL, "sensitive": api.CKA_SENSITIVE, "extractable": api.CKA_EXTRACTABLE}
    names |= {"token": api.CKA_TOKEN, "private": api.CKA_PRIVATE, "local": api.CKA_LOCAL, "wrap": api.CKA_WRAP}
    names |= {"encrypt": api.CKA_ENCRYPT, "decrypt": api.CKA_DECRYPT, "never_extractable": api.CKA_NEVER_EXTRACTABLE}
    found = []
    for key in _find(api, session, order):
        values = dict(zip(names, session.getAttributeValue(key, list(names.values())), strict=True))
        [key_id, length] = session.getAttributeValue(key, [api.CKA_ID, api.CKA_VALUE_LEN])
        found.append({**values, "id": bytes(key_id).hex(), "bits": length * 8})
    return found


def _make(api: Any, session: Any, order: Mapping[str, Any]) -> None:
    """Make a key under the label and id, of a value that is given, or random."""
    value = bytes.fromhex(order["value"]) if "value" in order else os.urandom(32)
    attributes = [(api.CKA_CLASS, api.CKO_SECRET_KEY), (api.CKA_KEY_TYPE, api.CKK_AES), (api.CKA_VALUE, value)]
    attributes += [(api.CKA_LABEL, order["label"]), (api.CKA_ID, bytes.fromhex(order["id"]))]
    attributes += [(name, True) for name in (api.CKA_TOKEN, api.CKA_PRIVATE, api.CKA_SENSITIVE)]
    attributes += [(api.CKA_ENCRYPT, True), (api.CKA_DECRYPT, True), (api.CKA_EXTRACTABLE, False)]
    session.createObject(attributes)


def _destroy(api: Any, session: Any, order: Mapping[str, Any]) -> int:
    found = _find(api, session, order)
    for key in found:
        session.destroyObject(key)
    return len(found)


def _open(api: Any, session: Any, order: Mapping[str, Any]) -> list[str]:
    """Return the DEKs (hex) in the wraps (hex), opened with the one key of that label. aads: of each, aad: of all."""
    [key] = _find(api, session, order)
    wraps = [bytes.fromhex(wrap) for wrap in order["wraps"]]
    aads = [bytes.fromhex(aad) for aad in order.get("aads") or [order["aad"]] * len(wraps)]
    mechanisms = [api.AES_GCM_Mechanism(wrap[:12], aad, 128) for wrap, aad in zip(wraps, aads, strict=True)]
    return [bytes(session.decrypt(key, wrap[12:], how)).hex() for wrap, how in zip(wraps, mechanisms, strict=True)]


def _seal(api: Any, session: Any, order: Mapping[str, Any]) -> str:
    """Return a wrap (hex) of the DEK (hex)."""
    [key] = _find(api, session, order)
    iv = os.urandom(12)
    mechanism = api.AES_GCM_Mechanism(iv, bytes.fromhex(order["aad"]), 128)
    return (iv + bytes(session.encrypt(key, bytes.fromhex(order["dek"]), mechanism))).hex()


if __name__ == "__main__":
    json.dump(_obey(json.load(sys.stdin)), sys.stdout)
