# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""After C_Login was called only CKR_OK allows another one, on whatever host: all answers, and lost ones (X54).

The shim gives the answers and counts what reached the token. Five hosts, one after the other and at once, until
somebody says `retry_refusal`.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from ansible_collections.certautopilot.ops.plugins.module_utils._domain.errors import OpsError
from ansible_collections.certautopilot.ops.plugins.module_utils._installation import login_turn

from tests.integration.token import PIN
from tests.support import hsm_shim

HOST = Path(__file__).parents[1] / "processes" / "host.py"
HOSTS = 5
CODES = (
    0x01, 0x02, 0x03, 0x05, 0x06, 0x07, 0x08, 0x09, 0x12, 0x20, 0x21, 0x30, 0x31, 0x32, 0x50, 0x54, 0x60, 0x63, 0x70,
    0x82, 0x90, 0x91, 0xA0, 0xA1, 0xA2, 0xA3, 0xA4, 0xB0, 0xB1, 0xB3, 0xB4, 0xB5, 0xB8, 0xD0, 0xE0, 0xE1, 0xE2, 0x101,
    0x102, 0x103, 0x104, 0x105, 0x150, 0x190, 0x200, 0x80000001,
)  # fmt: skip
ANSWERS = [
    *((kind, code) for kind in ("before", "after") for code in (0x30, 0xA0)),
    ("crash_before", 0),
    ("crash_after", 0),
]

pytestmark = pytest.mark.skipif(hsm_shim.compiler() is None, reason=hsm_shim.NO_COMPILER)


@pytest.fixture(scope="session")
def shim(tmp_path_factory):
    return hsm_shim.build(tmp_path_factory.mktemp("shim"))


@pytest.fixture
def site(hsm_site, token, shim, tmp_path, monkeypatch):
    """An installation with version 1 whose token is behind the shim; `faulty` sets what C_Login does."""
    for name, value in hsm_shim.environment(state=tmp_path / "shim.state").items():
        monkeypatch.setenv(name, value)
    hsm_site.pkcs11 = token.settings(module_path=shim)
    hsm_site.write()
    hsm_site.call("kek_pkcs11_init", version=1)

    def faulty(kind, code=0, **more):
        faults = hsm_shim.fault("C_Login", kind, fault_code=code, fault_at=login_calls() + 1, **more)
        for name, value in hsm_shim.environment(**faults).items():
            monkeypatch.setenv(name, value)

    def login_calls():
        return hsm_shim.counters(tmp_path / "shim.state")["fault_calls"]

    hsm_site.faulty, hsm_site.login_calls = faulty, login_calls
    return hsm_site


@pytest.fixture
def hosts(site, tmp_path):
    """Return a function that has five hosts, each with files of its own, run at once; it returns how they ended."""
    site.secrets = {**site.secrets, "CERTAUTOPILOT_OPS_PKCS11_START_TIMEOUT": "3"}
    site.write()
    running = []
    for number in range(HOSTS):
        files = {}
        for option, file in (("config_file", site.config_file), ("secrets_file", site.secrets_file)):
            own = tmp_path / f"host-{number}" / file.name
            own.parent.mkdir(exist_ok=True)
            own.touch(mode=0o600)
            own.write_text(file.read_text())
            files[option] = str(own)
        order = {"params": files, "verb": "kek_pkcs11_init", "options": {"version": 1}, "check": False}
        running.append(
            subprocess.Popen([sys.executable, str(HOST)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        )
        running[-1].stdin.write(json.dumps(order) + "\n")
        running[-1].stdin.flush()
    assert [host.stdout.readline() for host in running] == ["ready\n"] * HOSTS

    def at_once():
        variables = {name: value for name, value in os.environ.items() if name.startswith("SHIM_")}
        for host in running:
            host.stdin.write(json.dumps(variables) + "\n")
            host.stdin.flush()
        return [json.loads(host.stdout.readline()) for host in running]

    yield at_once
    for host in running:
        host.stdin.close()
        host.wait(60)
        host.stdout.close()


def refusal_of(site, **options):
    try:
        site.call("kek_pkcs11_init", version=1, **options)
    except OpsError as refusal:
        return refusal
    return None


@pytest.mark.parametrize(("kind", "code"), ANSWERS)
def test_x54_a_login_that_did_not_end_with_ok_is_tried_once_by_all_hosts_until_somebody_says_retry(site, kind, code):
    site.faulty(kind, code)

    refusals = [refusal_of(site) for _host in range(HOSTS)]
    calls = site.login_calls()
    retried = refusal_of(site, retry_refusal=refusals[1].facts["pkcs11"]["refusal"])

    assert refusals[0].code in ("pkcs11.login_unanswered", "pkcs11.pin_incorrect")
    assert {refusal.code for refusal in refusals[1:]} == {"pkcs11.pin_refused_before"}
    assert {refusal.retryable for refusal in refusals} == {False}
    assert calls == 1
    assert (retried, refusal_of(site)) == (None, None)


def test_x54_whatever_c_login_answers_it_is_called_once_and_the_answer_is_named(site):
    """46 codes, a vendor's own among them; each then retried, as an operator does who knows why."""
    for code in CODES:
        site.faulty("before", code)
        before = site.login_calls()

        first, second = refusal_of(site), refusal_of(site)

        assert first.code in {
            0xA0: "pkcs11.pin_incorrect", 0xA1: "pkcs11.pin_incorrect", 0xA2: "pkcs11.pin_incorrect",
            0xA3: "pkcs11.pin_unusable", 0xA4: "pkcs11.pin_locked", 0x102: "pkcs11.pin_unusable",
        }.get(code, "pkcs11.login_unanswered"), hex(code)  # fmt: skip
        assert "CKR" in first.message
        assert (second.code, site.login_calls() - before) == ("pkcs11.pin_refused_before", 1), hex(code)
        assert refusal_of(site, retry_refusal=second.facts["pkcs11"]["refusal"]) is None


def test_t32_x54_of_five_hosts_at_once_one_calls_c_login_whatever_it_answers_until_somebody_says_retry(site, hosts):
    for kind, code in (*ANSWERS, ("hang", 0), *(("before", code) for code in CODES)):
        site.faulty(kind, code)
        before = site.login_calls()

        ended = hosts()

        calls = site.login_calls() - before
        codes = sorted(one["failure"]["code"] for one in ended)
        assert (kind, hex(code), calls) == (kind, hex(code), 1)
        assert codes.count("pkcs11.pin_refused_before") == HOSTS - 1, (kind, hex(code), codes)
        assert {one["failure"]["retryable"] for one in ended} == {False}
        [refusal] = {one["pkcs11"]["refusal"] for one in ended if "refusal" in one["pkcs11"]}
        assert refusal_of(site, retry_refusal=refusal) is None, (kind, hex(code))


def test_t32_five_hosts_with_a_wrong_pin_cost_the_token_one_try_in_two_runs(site, hosts, tmp_path):
    wrong = site.secrets_file.read_text().replace(PIN, f"{PIN}-wrong")
    for file in tmp_path.glob("host-*/secrets.env"):
        file.write_text(wrong)

    codes = [one["failure"]["code"] for _run in range(2) for one in hosts()]

    assert hsm_shim.counters(tmp_path / "shim.state")["wrong_pins"] == 1
    assert sorted(set(codes)) == ["pkcs11.pin_incorrect", "pkcs11.pin_refused_before"]
    assert codes.count("pkcs11.pin_incorrect") == 1
    assert refusal_of(site) is None  # the right PIN is another one, and has all its tries


def test_x54_a_refused_pin_of_a_later_worker_is_noted_too(site, token):
    site.call("kek_pkcs11_init", version=2)
    site.faulty("before", 0xA0)
    second_worker = {"SHIM_FAULT_AT": str(site.login_calls() + 2)}
    with pytest.MonkeyPatch.context() as patch:
        for name, value in second_worker.items():
            patch.setenv(name, value)
        with pytest.raises(OpsError) as refused:
            site.call("kek_rotate", to_version=2, workers=3)

    assert refused.value.code == "pkcs11.pin_incorrect"
    assert refusal_of(site).code == "pkcs11.pin_refused_before"


def test_x54_a_host_that_is_killed_while_c_login_hangs_leaves_a_note_for_the_next_one(site, monkeypatch):
    site.faulty("hang")
    order = {
        "params": {"config_file": str(site.config_file), "secrets_file": str(site.secrets_file)},
        "verb": "kek_pkcs11_init",
        "options": {"version": 1},
        "check": False,
    }
    killed = subprocess.Popen([sys.executable, str(HOST)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    killed.stdin.write(json.dumps(order) + "\n\n")
    killed.stdin.flush()
    limit = time.monotonic() + 30
    while not site.login_calls() and time.monotonic() < limit:
        time.sleep(0.05)
    killed.send_signal(signal.SIGKILL)
    killed.wait()
    site.db.locks.update_many({}, [{"$set": {"expires_at": "$$NOW"}}])

    refusal = refusal_of(site)

    assert site.login_calls() == 1
    assert refusal.code == "pkcs11.pin_refused_before"
    assert "did not answer a login" in refusal.message
    [note] = site.db.kek_pin_refusals.find()
    assert [entry["tag"] for entry in note["refused"]] == [None]  # the PIN may be right: nothing of it is kept
    assert refusal_of(site, retry_refusal=refusal.facts["pkcs11"]["refusal"]) is None


def test_x54_what_fails_before_c_login_is_no_try_and_leaves_no_note(site, monkeypatch):
    for name, value in hsm_shim.environment(**hsm_shim.fault("C_OpenSession", "before", fault_code=0x30)).items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("SHIM_FAULT_ALWAYS", "1")

    failed = refusal_of(site)
    monkeypatch.delenv("SHIM_FAULT_FUNCTION")

    assert (failed.code, failed.retryable) == ("pkcs11.session_lost", True)
    assert "CKR_DEVICE_ERROR" in failed.message
    assert (list(site.db.kek_pin_refusals.find()), refusal_of(site)) == ([], None)


def test_x54_a_host_whose_turn_went_to_another_does_not_log_in(site, monkeypatch):
    real = login_turn.leases.mark_of

    def overtaken(store, lease, name):
        site.db.locks.update_one({"_id": lease.name}, {"$inc": {"token": 1}})
        return real(store, lease, name)

    monkeypatch.setattr(login_turn.leases, "mark_of", overtaken)
    site.faulty("before", 0xA0)

    assert (refusal_of(site).code, site.login_calls()) == ("lease.lost", 0)


def test_x54_the_note_of_a_wrong_pin_is_for_that_pin_alone(site, token):
    site.pkcs11["pin"] = "0000-wrong"
    site.write()
    refused = refusal_of(site).code
    site.pkcs11["pin"] = PIN
    site.write()

    assert (refused, refusal_of(site)) == ("pkcs11.pin_incorrect", None)
