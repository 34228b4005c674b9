# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Prove what happens to batches and parents when worker processes die, hang, print or are forked."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from ansible_collections.certautopilot.ops.plugins.module_utils._domain.errors import OpsError
from ansible_collections.certautopilot.ops.plugins.module_utils._keys.pkcs11.jobs import Job, PoolOptions
from ansible_collections.certautopilot.ops.plugins.module_utils._keys.pkcs11.provider import Pkcs11Provider
from ansible_collections.certautopilot.ops.plugins.module_utils._keys.provider import UnwrapRequest, WrapRequest

from tests.integration.keys.conftest import PIN, SOFTHSM

AAD = bytes(range(32))
COLLECTIONS = str(Path(__file__).parents[3] / ".build" / "collections")

PARENT = """
import os, sys, time
sys.path.insert(0, os.environ["COLLECTIONS"])
base = "ansible_collections.certautopilot.ops.plugins.module_utils."
settings = __import__(base + "_domain.pkcs11_settings", fromlist=["x"])
secret = __import__(base + "_domain.secret", fromlist=["x"])
pool = __import__(base + "_keys.pkcs11.pool", fromlist=["x"])
provider = __import__(base + "_keys.pkcs11.provider", fromlist=["x"])
given = settings.Pkcs11Settings(sys.argv[1], sys.argv[2], pin=secret.Secret(sys.stdin.readline().strip()))
opened = provider.Pkcs11Provider(given, pool.PoolOptions(workers=2))
opened.open()
print(*opened.worker_pids, flush=True)
time.sleep(60)
"""


def wrapped(provider, count):
    deks = [os.urandom(32) for _number in range(count)]
    wraps = provider.wrap(1, [WrapRequest(dek, AAD) for dek in deks])
    return deks, [UnwrapRequest(1, wrap, AAD) for wrap in wraps]


def after(seconds, call, *arguments):
    timer = threading.Timer(seconds, call, arguments)
    timer.start()
    return timer


def gone(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except FileNotFoundError:
        return True


def wait_until(condition, within_s=10.0):
    limit = time.monotonic() + within_s
    while not condition() and time.monotonic() < limit:
        time.sleep(0.02)
    return condition()


def test_t29_many_verified_operations_on_four_workers_lose_nothing(loaded):
    provider = loaded(PoolOptions(workers=4))
    deks, requests = wrapped(provider, 6000)

    for _number in range(2):
        requests = [UnwrapRequest(1, wrap, AAD) for wrap in provider.rewrap(1, requests)]

    assert provider.unwrap(requests) == deks
    assert len(provider.worker_pids) == 4


def test_the_batch_of_a_killed_worker_goes_to_another(loaded):
    provider = loaded(PoolOptions(workers=2))
    deks, requests = wrapped(provider, 1000)
    victim = provider.worker_pids[0]
    os.kill(victim, signal.SIGSTOP)  # so that it is killed with its batch in hand, however fast the machine is
    timer = after(0.3, os.kill, victim, signal.SIGKILL)

    opened = provider.unwrap(requests)

    timer.join()
    assert opened == deks
    assert victim not in provider.worker_pids
    assert gone(victim)
    assert provider.retries >= 1


def test_t19_with_no_worker_left_the_run_stops_with_the_exit_status(loaded):
    provider = loaded(PoolOptions(workers=2))
    _first, requests = wrapped(provider, 1000)
    for pid in provider.worker_pids:
        os.kill(pid, signal.SIGSTOP)
    timers = [after(0.3, os.kill, pid, signal.SIGKILL) for pid in provider.worker_pids]

    with pytest.raises(OpsError) as crashed:
        provider.unwrap(requests)
    with pytest.raises(OpsError) as later:
        provider.unwrap(requests)

    for timer in timers:
        timer.join()
    assert (crashed.value.code, crashed.value.retryable) == ("pkcs11.worker_crashed", True)
    assert "signal 9" in crashed.value.message
    assert later.value.code == "pkcs11.worker_crashed"
    assert provider.worker_pids == ()


def test_a_hung_worker_is_killed_at_its_deadline(loaded):
    provider = loaded(PoolOptions(workers=1, batch_timeout_s=0.5))
    _first, requests = wrapped(provider, 10)
    [pid] = provider.worker_pids
    os.kill(pid, signal.SIGSTOP)

    with pytest.raises(OpsError) as timed_out:
        provider.unwrap(requests)

    assert (timed_out.value.code, timed_out.value.retryable) == ("pkcs11.worker_timeout", True)
    assert gone(pid)


def test_the_batch_of_a_hung_worker_goes_to_another(loaded):
    provider = loaded(PoolOptions(workers=2, batch_timeout_s=1.0))
    deks, requests = wrapped(provider, 40)
    victim = provider.worker_pids[0]
    os.kill(victim, signal.SIGSTOP)

    assert provider.unwrap(requests) == deks
    assert victim not in provider.worker_pids


def test_after_a_refused_batch_a_late_reply_is_not_taken_for_another(loaded):
    provider = loaded(PoolOptions(workers=2))
    deks, requests = wrapped(provider, 1000)
    pool = provider._pool
    slow = Job("unwrap", ([(item.version, item.wrapped, item.aad) for item in requests],), planned=1000)
    broken = Job("unwrap", ([(1, b"x" * 60, AAD)],), planned=2)

    with pytest.raises(OpsError) as refused:
        pool.run([slow, broken])

    assert refused.value.code == "pkcs11.batch_incomplete"
    assert provider.unwrap(requests) == deks


def test_workers_die_with_a_parent_that_is_killed(hsm):
    parent = subprocess.Popen(
        [sys.executable, "-c", PARENT, SOFTHSM, hsm.token],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "SOFTHSM2_CONF": hsm.conf, "COLLECTIONS": COLLECTIONS},
    )
    parent.stdin.write(PIN + "\n")
    parent.stdin.flush()
    pids = [int(pid) for pid in parent.stdout.readline().split()]
    os.kill(pids[1], signal.SIGSTOP)  # even one that cannot see the end of its input

    parent.kill()
    parent.communicate()

    assert len(pids) == 2
    assert wait_until(lambda: all(gone(pid) for pid in pids))


def test_t30_a_forked_child_is_refused_and_the_parent_goes_on(loaded):
    provider = loaded()
    deks, requests = wrapped(provider, 50)
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            provider.unwrap(requests)
            code = "no refusal"
        except OpsError as error:
            code = error.code
        provider.close()
        os.write(writing, code.encode())
        os._exit(0)
    os.close(writing)
    os.waitpid(child, 0)

    said = os.read(reading, 100).decode()
    os.close(reading)

    assert said == "pkcs11.used_after_fork"
    assert provider.unwrap(requests) == deks


def test_a_library_that_prints_does_not_reach_the_protocol(loaded, noisy_library, capfd):
    provider = loaded(module_path=noisy_library, environment={"NOISY_MODULE": SOFTHSM})

    deks, requests = wrapped(provider, 5)

    assert provider.unwrap(requests) == deks
    assert capfd.readouterr().out == ""


def test_t19_a_library_that_crashes_is_named_with_its_signal_and_without_the_pin(hsm, noisy_library):
    environment = {"NOISY_CRASHES": "1", "NOISY_SAYS": PIN}
    provider = Pkcs11Provider(hsm.settings(module_path=noisy_library, environment=environment))

    with pytest.raises(OpsError) as crashed:
        provider.open()

    assert (crashed.value.code, crashed.value.retryable) == ("pkcs11.load_crashed", False)
    assert "signal 11" in crashed.value.message
    assert "log of pin ********" in crashed.value.message
    assert PIN not in str(crashed.value.as_result())


def test_a_library_that_hangs_at_the_start_is_given_up(hsm, noisy_library):
    settings = hsm.settings(module_path=noisy_library, environment={"NOISY_HANGS": "1"})

    with pytest.raises(OpsError) as timed_out:
        Pkcs11Provider(settings, PoolOptions(start_timeout_s=1.0)).open()

    assert timed_out.value.code == "pkcs11.worker_timeout"


def test_a_missing_binding_is_named_with_its_minimum(hsm, monkeypatch):
    monkeypatch.setattr(sys, "path", [path for path in sys.path if "site-packages" not in path])

    with pytest.raises(OpsError) as missing:
        Pkcs11Provider(hsm.settings()).open()

    assert missing.value.code == "dependency.missing"
    assert "python-pkcs11" in missing.value.message
    assert "0.9" in missing.value.hint
    assert sys.executable in missing.value.hint
