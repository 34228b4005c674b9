# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Prove that the shim is a PKCS#11 module: the faults are the only difference, however a client calls it."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from tests.integration.keys.conftest import PIN, reference

CKR_MECHANISM_PARAM_INVALID, CKR_OPERATION_NOT_INITIALIZED, CKR_BUFFER_TOO_SMALL = 0x71, 0x91, 0x150
CKR_SESSION_HANDLE_INVALID = 0xB3

# Encrypts 32 bytes twice under a known key: asking for the length first, then with a direct call after one whose buffer
# is too small by one byte. Sessions are PyKCS11's, the crypto calls go by ctypes: nothing stands before the shim.
CLIENT = """
import ctypes, json, os, sys
import PyKCS11 as api
order = json.load(sys.stdin)
library = api.PyKCS11Lib()
library.load(order["path"])
slots = library.getSlotList(tokenPresent=True)
[slot] = [s for s in slots if library.getTokenInfo(s).flags & api.CKF_USER_PIN_INITIALIZED]
session = library.openSession(slot, api.CKF_SERIAL_SESSION | api.CKF_RW_SESSION)
session.login(order["pin"])
key = session.createObject([
    (api.CKA_CLASS, api.CKO_SECRET_KEY), (api.CKA_KEY_TYPE, api.CKK_AES), (api.CKA_TOKEN, False),
    (api.CKA_VALUE, bytes.fromhex(order["value"])), (api.CKA_ENCRYPT, True), (api.CKA_DECRYPT, True)])
word = ctypes.c_ulong
class List(ctypes.Structure):
    _fields_ = [("version", ctypes.c_ubyte * 2), ("functions", ctypes.c_void_p * 68)]
functions = ctypes.POINTER(List)()
ctypes.CDLL(order["path"]).C_GetFunctionList(ctypes.byref(functions))
call = lambda place, *arguments: ctypes.CFUNCTYPE(word, *[ctypes.c_void_p] * len(arguments))(
    functions.contents.functions[place])(*arguments)
class Gcm(ctypes.Structure):
    _fields_ = [("iv", ctypes.c_void_p), ("iv_length", word), ("iv_bits", word), ("aad", ctypes.c_void_p),
                ("aad_length", word), ("tag_bits", word)]
class Mechanism(ctypes.Structure):
    _fields_ = [("type", word), ("parameter", ctypes.c_void_p), ("length", word)]
handle, number, text = session.session.value(), key.value(), bytes.fromhex(order["text"])
source = ctypes.create_string_buffer(text, 32)
def encryption(asks):
    iv = ctypes.create_string_buffer(bytes.fromhex(order["iv"]), 12)
    gcm = Gcm(ctypes.addressof(iv), 12, 96, None, 0, 128)
    mechanism = Mechanism(0x1087, ctypes.addressof(gcm), ctypes.sizeof(gcm))
    rv = call(29, handle, ctypes.addressof(mechanism), number)
    if rv:
        return {"init": rv}
    length, out = word(0), ctypes.create_string_buffer(256)
    if asks:
        first = call(30, handle, ctypes.addressof(source), 32, None, ctypes.addressof(length))
    else:
        length.value = 47
        first = call(30, handle, ctypes.addressof(source), 32, ctypes.addressof(out), ctypes.addressof(length))
    told = length.value
    length.value = told if asks else 256
    rv = call(30, handle, ctypes.addressof(source), 32, ctypes.addressof(out), ctypes.addressof(length))
    return {"first": first, "told": told, "rv": rv, "iv": iv.raw.hex(), "out": out.raw[: length.value].hex()}
json.dump([encryption(True), encryption(False)], sys.stdout)
"""

# Keeps the handle of key 1 over a drop of the sessions, looks both keys up anew, and encrypts with what it kept.
STALE = """
import json, os, sys
import PyKCS11 as api
order = json.load(sys.stdin)
library = api.PyKCS11Lib()
library.load(order["path"])
slots = library.getSlotList(tokenPresent=True)
[slot] = [s for s in slots if library.getTokenInfo(s).flags & api.CKF_USER_PIN_INITIALIZED]
def found():
    session = library.openSession(slot, api.CKF_SERIAL_SESSION | api.CKF_RW_SESSION)
    session.login(order["pin"])
    return session, [session.findObjects([(api.CKA_LABEL, label)])[0] for label in order["labels"]]
iv = bytes(range(12))
session, [kept, _other] = found()
try:
    session.encrypt(kept, b"x" * 32, api.AES_GCM_Mechanism(iv, b"", 128))
except api.PyKCS11Error as error:
    dropped = error.value
session, _keys = found()
out = session.encrypt(kept, b"x" * 32, api.AES_GCM_Mechanism(iv, b"", 128))
json.dump({"dropped": dropped, "out": bytes(out).hex()}, sys.stdout)
"""


def run_client(program, hsm, changes, **order):
    """Return what a client of the shim, in a process of its own, printed as JSON."""
    ended = subprocess.run(
        [sys.executable, "-c", program],
        input=json.dumps({"path": changes["module_path"], "pin": PIN, **order}),
        env={**os.environ, "SOFTHSM2_CONF": hsm.conf, **changes["environment"]},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr
    return json.loads(ended.stdout)


@pytest.fixture
def client(hsm, shim):
    """Return a function that encrypts twice through the shim with these faults, see CLIENT."""

    def run(sent, value, text, **faults):
        order = {"iv": sent.hex(), "value": value.hex(), "text": text.hex()}
        return run_client(CLIENT, hsm, shim.faults(**faults), **order)

    return run


@pytest.mark.parametrize(
    ("way", "offered", "length"),
    [("caller", 7, 48), ("in_place", 7, 48), ("in_place_zeroed", 0, 48), ("appended", 7, 60), ("keeps_zeros", 0, 48)],
)
def test_the_iv_comes_as_the_way_says_whether_a_client_asks_for_the_length_or_not(client, shim, way, offered, length):
    value, text, sent = os.urandom(32), os.urandom(32), bytes([offered]) * 12

    answers = client(sent, value, text, iv=way)

    assert [answer["first"] for answer in answers] == [0, CKR_BUFFER_TOO_SMALL]
    used = set()
    for answer in answers:
        out, buffer = bytes.fromhex(answer["out"]), bytes.fromhex(answer["iv"])
        assert (answer["rv"], answer["told"], len(out)) == (0, length, length)
        iv = out[48:] if way == "appended" else buffer
        assert AESGCM(value).decrypt(iv, out[:48], None) == text
        assert (buffer == sent) == (way in ("caller", "appended", "keeps_zeros"))
        used.add(iv)
    assert len(used) == (1 if way in ("caller", "keeps_zeros") else 2)
    counted = shim.counters()
    assert (counted["length_queries"], counted["encrypted"]) == (1, 2)


@pytest.mark.parametrize("way", ["in_place_zeroed", "keeps_zeros"])
def test_a_module_that_demands_zeros_refuses_another_iv(client, way):
    assert client(b"\x07" * 12, os.urandom(32), os.urandom(32), iv=way) == [{"init": CKR_MECHANISM_PARAM_INVALID}] * 2


def test_an_injected_error_ends_the_operation_so_that_the_next_one_can_begin(client):
    value, text = os.urandom(32), os.urandom(32)

    first, second = client(b"\x07" * 12, value, text, error_every=1, error_codes="0x31,0xE0")
    _fine, failed = client(b"\x07" * 12, value, text, error_every=5, error_codes="0x30")

    assert (first["rv"], second["first"]) == (0x31, 0xE0)
    assert (failed["first"], failed["rv"]) == (0x30, CKR_OPERATION_NOT_INITIALIZED)


def test_a_handle_kept_over_a_drop_of_the_sessions_names_another_key(hsm, known_keys, shim):
    changes = shim.faults(drop_sessions_after=1, shuffle_handles=1)

    answer = run_client(STALE, hsm, changes, labels=[reference(1).label, reference(2).label])

    assert answer["dropped"] == CKR_SESSION_HANDLE_INVALID
    assert known_keys[2].decrypt(bytes(range(12)), bytes.fromhex(answer["out"]), b"") == b"x" * 32
