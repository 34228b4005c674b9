# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Prove on a real module that an operation is one call, and that it answers as the binding would, errors included."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest
from ansible_collections.certautopilot.ops.plugins.module_utils._keys.pkcs11.worker.base import (
    BLIPS,
    GONE,
    SESSION_ENDED,
)
from ansible_collections.certautopilot.ops.plugins.module_utils._keys.provider import UnwrapRequest, WrapRequest

from tests.integration.keys.conftest import PIN, SOFTHSM, reference

AAD = bytes(range(32))
SPY = next((str(path) for path in Path("/usr/lib").glob("**/pkcs11-spy.so")), "")
COLLECTIONS = str(Path(__file__).parents[3] / ".build" / "collections")

# What C_EncryptInit, C_Encrypt, C_DecryptInit and C_Decrypt may answer: PKCS#11 v2.40 base specification, section 5.
ANSWERS = {
    *(0x02, 0x05, 0x06, 0x07, 0x20, 0x21, 0x30, 0x31, 0x32, 0x40, 0x41, 0x50, 0x54, 0x60, 0x62, 0x63, 0x68, 0x70, 0x71),
    *(0x90, 0x91, 0xA3, 0xB0, 0xB3, 0x101, 0x150, 0x190),
}

# SoftHSM2, but C_Encrypt and C_Decrypt answer with a code of our choice before SoftHSM2 sees them (its operation then
# stays active, as in a module with a fault), or demand a larger output buffer. Length queries are let through.
REFUSING_LIBRARY = r"""
#include <dlfcn.h>
#include <stdlib.h>
#include <string.h>
typedef unsigned long N;
typedef N (*CRYPT)(N, void *, N, void *, N *);
static struct { unsigned char version[2]; void *entry[68]; } real, ours;
static N code, room;
void refuse_with(N wanted) { code = wanted; }
void demand(N wanted) { room = wanted; }
static N crypt(CRYPT next, N session, void *in, N length, void *out, N *out_length) {
    if (out && code) return code;
    if (out && *out_length < room) { *out_length = room; return 0x150; }
    return next(session, in, length, out, out_length);
}
static N encrypt(N s, void *i, N l, void *o, N *n) { return crypt((CRYPT)real.entry[30], s, i, l, o, n); }
static N decrypt(N s, void *i, N l, void *o, N *n) { return crypt((CRYPT)real.entry[34], s, i, l, o, n); }
N C_GetFunctionList(void **list) {
    void *softhsm = dlopen(getenv("REFUSING_MODULE"), RTLD_NOW);
    N (*next)(void **) = dlsym(softhsm, "C_GetFunctionList");
    void *found;
    if (next(&found)) return 5;
    memcpy(&real, found, sizeof real);
    memcpy(&ours, found, sizeof ours);
    ours.entry[30] = encrypt;
    ours.entry[34] = decrypt;
    *list = &ours;
    return 0;
}
"""

# Opens the session as a worker does and gets one key in both ways: {one: our call, two: the binding}.
SESSION = """
import ctypes, json, os, sys
sys.path.insert(0, os.environ["COLLECTIONS"])
base = "ansible_collections.certautopilot.ops.plugins.module_utils._keys.pkcs11."
load = lambda name: __import__(base + name, fromlist=["x"])
calls, keys, tokens = load("worker.gcm_calls"), load("worker.keys"), load("worker.session")
path, label, name, key_id = sys.argv[1], sys.argv[2], sys.argv[3], bytes.fromhex(sys.argv[4])
hsm = tokens.HsmSession(dict(module_path=path, token_label=label, token_serial="", pin=sys.stdin.readline().strip()))
hsm.open()
found = keys.find_one(hsm, name, key_id)
one, two = calls.gcm_key(found, hsm.raw), calls.BindingKey(found)
assert type(one) is calls.OneCallKey
"""

ACROSS = """
opened, wraps = [], []
for number in range(200):
    iv, dek, aad = os.urandom(12), os.urandom(32), b"" if number % 2 else os.urandom(32)
    ours, theirs = one.encrypt(iv, dek, aad), two.encrypt(iv, dek, aad)
    opened.append(ours == theirs and one.decrypt(iv, theirs[0], aad) == two.decrypt(iv, ours[0], aad) == dek)
print(json.dumps(opened))
"""

REFUSED = """
library = ctypes.CDLL(path)
iv, aad = os.urandom(12), b""
def kind(key, action):
    library.refuse_with(ctypes.c_ulong(code))
    try:
        getattr(key, action)(iv, bytes(48), aad)
    except Exception as error:
        return type(error).__module__ + "." + type(error).__name__
    finally:
        library.refuse_with(ctypes.c_ulong(0))
found, sealed = [], one.encrypt(iv, b"d" * 32, aad)[0]
for code in (*range(1, 0x220), 0x80000001):
    for action in ("encrypt", "decrypt"):
        ours = kind(one, action)
        mended = one.decrypt(iv, sealed, aad) == b"d" * 32  # in the session in which an operation was left active
        theirs = kind(two, action)
        mended = mended and one.encrypt(iv, b"d" * 32, aad)[0] == sealed
        found.append((code, action, ours, theirs, mended))
print(json.dumps(found))
"""

DEMANDING = """
library = ctypes.CDLL(path)
library.demand(ctypes.c_ulong(5000))
iv = os.urandom(12)
served = one.decrypt(iv, one.encrypt(iv, b"d" * 32, b"")[0], b"") == b"d" * 32
library.demand(ctypes.c_ulong(1 << 40))
try:
    one.encrypt(iv, b"d" * 32, b"")
except Exception as error:
    name = type(error).__name__
library.demand(ctypes.c_ulong(0))
print(json.dumps([served, name, two.decrypt(iv, two.encrypt(iv, b"d" * 32, b"")[0], b"") == b"d" * 32]))
"""


@pytest.fixture
def in_worker(hsm, loaded):
    """Return a function that runs a program in a worker's session on key V1 and gives what it printed."""
    loaded().close()
    named = reference(1)

    def run(program, module_path=SOFTHSM, **environment):
        ended = subprocess.run(
            [sys.executable, "-c", SESSION + program, module_path, hsm.token, named.label, named.key_id.hex()],
            input=PIN + "\n",
            env={**os.environ, "SOFTHSM2_CONF": hsm.conf, "COLLECTIONS": COLLECTIONS, **environment},
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert ended.returncode == 0, ended.stderr
        return json.loads(ended.stdout)

    return run


@pytest.fixture
def refusing_library(tmp_path):
    compiler = shutil.which("cc") or shutil.which("gcc")
    if compiler is None:
        pytest.skip("no C compiler to build a module that refuses")
    (tmp_path / "refusing.c").write_text(REFUSING_LIBRARY)
    library = str(tmp_path / "refusing.so")
    subprocess.run([compiler, "-shared", "-fPIC", "-o", library, tmp_path / "refusing.c", "-ldl"], check=True)
    return library


def test_what_we_seal_the_binding_opens_and_the_other_way_round_with_the_same_bytes(in_worker):
    assert in_worker(ACROSS) == [True] * 200


def test_every_answer_is_the_bindings_exception_and_leaves_no_operation_active(in_worker, refusing_library):
    found = in_worker(REFUSED, refusing_library, REFUSING_MODULE=SOFTHSM)

    other = [(code, ours, theirs) for code, _action, ours, theirs, _mended in found if ours != theirs]
    assert len(found) == 2 * 0x220
    assert [item for item in found if not item[4]] == []
    assert [item for item in other if item[0] in ANSWERS] == []
    assert {ours for _code, ours, _theirs in other} == {"pkcs11.exceptions.PKCS11Error"}
    assert {theirs.rpartition(".")[2] for _code, _ours, theirs in other} & (BLIPS | GONE | SESSION_ENDED) == set()


def test_a_demand_for_a_larger_buffer_is_met_once_and_a_senseless_one_ends_the_operation(in_worker, refusing_library):
    assert in_worker(DEMANDING, refusing_library, REFUSING_MODULE=SOFTHSM) == [True, "PKCS11Error", True]


@pytest.mark.parametrize(("prove", "openings"), [(None, 600), ((), 300), (range(0, 300, 10), 330)])
def test_a_rewrap_asks_the_module_as_often_as_it_must_and_no_more(loaded, tmp_path, prove, openings):
    if not SPY:
        pytest.skip("no pkcs11-spy (opensc) to count the module's calls")
    log = tmp_path / "spy.log"
    provider = loaded(module_path=SPY, environment={"PKCS11SPY": SOFTHSM, "PKCS11SPY_OUTPUT": str(log)})
    deks = [os.urandom(32) for _number in range(300)]
    requests = [UnwrapRequest(1, wrap, AAD) for wrap in provider.wrap(1, [WrapRequest(dek, AAD) for dek in deks])]
    before = _counted(log)

    moved = provider.rewrap(2, requests, prove=prove)

    spent = _counted(log) - before
    wanted = {"C_DecryptInit": openings, "C_Decrypt": openings, "C_EncryptInit": 300, "C_Encrypt": 300}
    assert spent == wanted
    assert provider.unwrap([UnwrapRequest(2, wrap, AAD) for wrap in moved]) == deks


def _counted(log):
    lines = log.read_text(errors="replace").splitlines()
    return Counter(line.split(": ", 1)[1].strip() for line in lines if ": C_" in line)
