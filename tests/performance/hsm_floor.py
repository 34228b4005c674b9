# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The raw HSM floor: unwrap, wrap and the unwrap that proves it, in a bare loop over python-pkcs11, one session.

Nothing of plugins/ is used. The order comes as a line of JSON on standard input (a PIN never travels in arguments):
{module_path, token, pin, ids: [id of V1, id of V2], n}. When all is prepared a line is printed and another one awaited,
so that many can begin together; the answer is {wall_s}.
"""

from __future__ import annotations

import json
import os
import sys
import time
from typing import Any

import pkcs11

GCM = pkcs11.Mechanism.AES_GCM


def main() -> None:
    order = json.loads(sys.stdin.readline())
    token = pkcs11.lib(order["module_path"]).get_token(token_label=order["token"])
    with token.open(rw=True, user_pin=order["pin"]) as session:
        old, new = (session.get_key(pkcs11.ObjectClass.SECRET_KEY, id=bytes.fromhex(one)) for one in order["ids"])
        aad = os.urandom(32)
        wraps = [_wrap(old, os.urandom(32), aad) for _number in range(order["n"])]
        print("ready", flush=True)
        sys.stdin.readline()
        began = time.perf_counter()
        for wrapped in wraps:
            dek = _unwrap(old, wrapped, aad)
            if _unwrap(new, _wrap(new, dek, aad), aad) != dek:
                raise RuntimeError("the token opened another data key")
        print(json.dumps({"wall_s": time.perf_counter() - began}))


def _wrap(key: Any, dek: bytes, aad: bytes) -> bytes:
    iv = os.urandom(12)
    sealed: bytes = key.encrypt(dek, mechanism=GCM, mechanism_param=pkcs11.GCMParams(iv, aad=aad), buffer_size=256)
    return iv + sealed


def _unwrap(key: Any, wrapped: bytes, aad: bytes) -> bytes:
    params = pkcs11.GCMParams(wrapped[:12], aad=aad)
    opened: bytes = key.decrypt(wrapped[12:], mechanism=GCM, mechanism_param=params, buffer_size=256)
    return opened


if __name__ == "__main__":
    main()
