# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Prove that a worker logs in once, stays logged in, and that its PIN is seen nowhere (T31, T32, T33)."""

from __future__ import annotations

import os
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest
from ansible_collections.certautopilot.ops.plugins.module_utils._domain.errors import OpsError
from ansible_collections.certautopilot.ops.plugins.module_utils._keys.pkcs11.jobs import PoolOptions
from ansible_collections.certautopilot.ops.plugins.module_utils._keys.pkcs11.provider import Pkcs11Provider
from ansible_collections.certautopilot.ops.plugins.module_utils._keys.provider import UnwrapRequest, WrapRequest

from tests.integration.keys.conftest import PIN, SOFTHSM, reference

AAD = bytes(range(32))
SPY = next(
    (str(path) for path in Path("/usr/lib").glob("**/pkcs11-spy.so")), ""
)  # opensc; T33 needs it to count the module's calls
COLLECTIONS = str(Path(__file__).parents[3] / ".build" / "collections")

# Logs the session out behind the worker's back, by the module's own C_Logout, as a second user of the library would.
LOGGED_OUT = """
import ctypes, os, sys
sys.path.insert(0, os.environ["COLLECTIONS"])
base = "ansible_collections.certautopilot.ops.plugins.module_utils._keys.pkcs11."
token = __import__(base + "worker.session", fromlist=["x"])
keys = __import__(base + "worker.keys", fromlist=["x"])
engines = __import__(base + "worker.engine", fromlist=["x"])
path, label, name, key_id = sys.argv[1], sys.argv[2], sys.argv[3], bytes.fromhex(sys.argv[4])
hsm = token.HsmSession(dict(module_path=path, token_label=label, token_serial="", pin=sys.stdin.readline().strip()))
hsm.open()
engine = engines.Engine(hsm)
engine.load({1: (name, key_id, None)})
[wrap] = engine.wrap(1, [(b"d" * 32, b"")])
C_LOGOUT = 19
class Functions(ctypes.Structure):
    _fields_ = [("version", ctypes.c_ubyte * 2), ("functions", ctypes.c_void_p * 20)]
functions = ctypes.POINTER(Functions)()
ctypes.CDLL(path).C_GetFunctionList(ctypes.byref(functions))
C_OPEN_SESSION, C_CLOSE_SESSION, SERIAL_AND_WRITABLE = 12, 13, 6
start = ctypes.CFUNCTYPE(ctypes.c_ulong, *[ctypes.c_ulong] * 2, *[ctypes.c_void_p] * 3)(
    functions.contents.functions[C_OPEN_SESSION])
end = ctypes.CFUNCTYPE(ctypes.c_ulong, ctypes.c_ulong)(functions.contents.functions[C_CLOSE_SESSION])
for number in range(int(sys.argv[5])):
    other = ctypes.c_ulong()
    assert start(hsm.session.token.slot.slot_id, SERIAL_AND_WRITABLE, None, None, ctypes.byref(other)) == 0
    assert end(other) == 0
print(hsm.logged_in(), engine.unwrap([(1, wrap, b"")]) == [b"d" * 32], engine.take_retries())
logout = ctypes.CFUNCTYPE(ctypes.c_ulong, ctypes.c_ulong)(functions.contents.functions[C_LOGOUT])
def log_out():
    assert logout(hsm.session.handle) == 0
    assert not hsm.logged_in()
log_out()
print(keys.count(hsm, name, key_id), hsm.logged_in())
log_out()
print(engine.unwrap([(1, wrap, b"")]) == [b"d" * 32], engine.take_retries() > 0)
"""


def wrapped(provider, count):
    deks = [os.urandom(32) for _number in range(count)]
    wraps = provider.wrap(1, [WrapRequest(dek, AAD) for dek in deks])
    return deks, [UnwrapRequest(1, wrap, AAD) for wrap in wraps]


def test_the_pin_is_in_no_command_line_and_no_environment(loaded, monkeypatch):
    monkeypatch.setenv("CERTAUTOPILOT_ENCRYPTION_PKCS11_PIN", PIN)
    provider = loaded(PoolOptions(workers=2))

    for pid in (*provider.worker_pids, *_children()):
        assert PIN.encode() not in Path(f"/proc/{pid}/cmdline").read_bytes()
        assert PIN.encode() not in Path(f"/proc/{pid}/environ").read_bytes()


def _children():
    listed = Path(f"/proc/self/task/{os.getpid()}/children")
    return [int(pid) for pid in listed.read_text().split()] if listed.exists() else []


def test_t31_other_sessions_that_come_and_go_do_not_log_the_owner_out(hsm, loaded):
    owner = loaded()
    deks, requests = wrapped(owner, 20)

    for _number in range(10):
        with Pkcs11Provider(hsm.settings()) as visitor:
            assert visitor.find_key(reference(1).label, reference(1).key_id).by_id == 1

    assert owner.unwrap(requests) == deks
    assert owner.retries == 0


def logged_out(hsm, changes, others):
    """Run LOGGED_OUT, with so many sessions of another user of the library before the logouts; return its lines."""
    named = reference(1)
    ended = subprocess.run(
        [sys.executable, "-c", LOGGED_OUT, changes["module_path"], hsm.token, named.label, named.key_id.hex(), others],
        input=PIN + "\n",
        env={**os.environ, "SOFTHSM2_CONF": hsm.conf, "COLLECTIONS": COLLECTIONS, **changes["environment"]},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr
    return ended.stdout.splitlines()


def test_t31_a_thousand_sessions_beside_it_do_not_log_the_owner_out(hsm, known_keys, shim):
    lines = logged_out(hsm, shim.faults(), "1000")

    assert lines[0] == "True True 0"
    assert shim.counters()["opened"] > 1000


def test_t31_after_a_forced_logout_the_worker_logs_in_again_and_finds_its_key(hsm, known_keys, shim):
    # One session is all the token allows: the one that was logged out must be given back before the next is opened.
    lines = logged_out(hsm, shim.faults(sessions=1), "0")

    assert lines[1:] == ["(1, 1) True", "True True"]
    assert shim.counters()["logins"] == 3


@pytest.fixture
def spied(tmp_path):
    """The settings' changes that put pkcs11-spy before SoftHSM2, and a function that counts the calls it saw."""
    if not SPY:
        pytest.skip("no pkcs11-spy (opensc)")
    log = tmp_path / "spy.log"

    def calls():
        text = log.read_text(errors="replace") if log.exists() else ""
        return Counter(line.split(": ", 1)[1].strip() for line in text.splitlines() if ": C_" in line)

    environment = {"PKCS11SPY": SOFTHSM, "PKCS11SPY_OUTPUT": str(log)}
    return {"module_path": SPY, "environment": environment}, calls


def test_t33_one_login_and_balanced_sessions_and_finds_that_do_not_grow_with_the_batch(loaded, spied):
    changes, calls = spied
    provider = loaded(**changes)
    before = calls()

    _first, requests = wrapped(provider, 300)
    provider.rewrap(2, requests)
    provider.close()

    after_all = calls()
    assert (after_all["C_Initialize"], after_all["C_Login"]) == (1, 1)
    assert after_all["C_OpenSession"] == after_all["C_CloseSession"] == 1
    assert after_all["C_FindObjectsInit"] == before["C_FindObjectsInit"]
    assert after_all["C_FindObjectsInit"] == after_all["C_FindObjectsFinal"]


def test_t32_a_wrong_pin_is_tried_once_however_many_workers_are_asked_for(hsm, spied):
    changes, calls = spied
    provider = Pkcs11Provider(hsm.settings(**changes, pin="0000-wrong"), PoolOptions(workers=8))

    with pytest.raises(OpsError) as refused:
        provider.open()

    assert (refused.value.code, refused.value.retryable) == ("pkcs11.pin_incorrect", False)
    assert "0000-wrong" not in str(refused.value.as_result())
    assert calls()["C_Login"] == 1
