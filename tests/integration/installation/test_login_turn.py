# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A bad user PIN costs one try of the token, however many hosts, restarts and workers have it (T32, ADR-0015).

SoftHSM2 never locks a PIN, so the shim counts the tries and locks after three; its flags do not warn.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest
from ansible_collections.certautopilot.ops.plugins.module_utils._domain.errors import OpsError, Unauthorized
from ansible_collections.certautopilot.ops.plugins.module_utils._installation import installation, login_turn
from ansible_collections.certautopilot.ops.plugins.module_utils._keys.provider import WrapRequest
from ansible_collections.certautopilot.ops.plugins.module_utils._module import configuration
from ansible_collections.certautopilot.ops.plugins.module_utils._store import install_lock

from tests.integration.token import PIN
from tests.support import hsm_shim
from tests.support.sealed import credential

HOST, DYING = Path(__file__).parents[1] / "processes" / "host.py", Path(__file__).parents[1] / "processes" / "dying.py"
HOSTS, WORKERS, LIMIT = 5, 4, 3
BAD, WORSE = "0000-wrong", "1111-wrong"

pytestmark = pytest.mark.skipif(hsm_shim.compiler() is None, reason=hsm_shim.NO_COMPILER)


@pytest.fixture(scope="session")
def shim(tmp_path_factory):
    return hsm_shim.build(tmp_path_factory.mktemp("shim"))


class Fleet:
    """An installation whose token locks its PIN after three wrong ones in a row, and hosts that work on it."""

    def __init__(self, site, token, library, state):
        self.site = site
        self._token = token
        self._library = library
        self._state = state

    def give_pin(self, pin, **changes):
        """Write this PIN into secrets.env, the one that all hosts read."""
        self.site.pkcs11 = self._token.settings(module_path=self._library, pin=pin, **changes)
        self.site.write()

    def counted(self):
        return hsm_shim.counters(self._state)

    def code(self, verb="kek_rotate", **options):
        """Run a verb here; return the code of its refusal, "" for none."""
        refusal = self.refusal(verb, **options)
        return "" if refusal is None else refusal.code

    def refusal(self, verb="kek_rotate", **options):
        options = options or {"to_version": 2, "workers": WORKERS}
        try:
            self.site.call(verb, **options)
        except OpsError as refusal:
            return refusal
        return None

    def at_once(self, *, check):
        """Run kek_rotate in a process for each host, all let go at the same time; return what each failed with."""
        params = {"config_file": str(self.site.config_file), "secrets_file": str(self.site.secrets_file)}
        options = {"to_version": 2, "workers": WORKERS, "allow_empty_fleet": True}
        order = json.dumps({"params": params, "verb": "kek_rotate", "options": options, "check": check})
        hosts = [
            subprocess.Popen(
                [sys.executable, str(HOST)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
            )
            for _number in range(HOSTS)
        ]  # fmt: skip
        try:
            for host in hosts:
                host.stdin.write(order + "\n")
                host.stdin.flush()
            assert [host.stdout.readline() for host in hosts] == ["ready\n"] * HOSTS
            for host in hosts:
                host.stdin.write("\n")
                host.stdin.flush()
            return [json.loads(host.communicate(timeout=120)[0].splitlines()[-1]) for host in hosts]
        finally:
            for host in hosts:
                host.kill()
                host.wait()


@pytest.fixture
def fleet(hsm_site, token, shim, tmp_path, monkeypatch):
    state = tmp_path / "shim.state"
    for name, value in hsm_shim.environment(state=state, pin_tries=LIMIT, pin_silent=1).items():
        monkeypatch.setenv(name, value)
    made = Fleet(hsm_site, token, shim, state)
    made.give_pin(PIN)
    return made


@pytest.fixture
def ready(fleet):
    """The fleet of an installation with KEK versions 1 and 2, and how often its token was asked so far."""
    for version in (1, 2):
        fleet.site.call("kek_pkcs11_init", version=version)
    return fleet


def codes_of(answers):
    return Counter(answer["failure"]["code"] for answer in answers)


def notes(site):
    return list(site.db.kek_pin_refusals.find())


@pytest.mark.parametrize("checks", [(False, False, False), (True, False)], ids=["real", "check first"])
def test_t32_a_bad_pin_on_five_hosts_that_restart_burns_one_try_and_the_right_one_works_at_once(ready, checks):
    ready.give_pin(BAD)
    before = ready.counted()

    first = ready.at_once(check=checks[0])
    after_first = ready.counted()
    restarted = [answer for check in checks[1:] for answer in ready.at_once(check=check)]
    after_all = ready.counted()
    ready.give_pin(PIN)
    done = ready.site.call("kek_rotate", to_version=2, workers=WORKERS)

    assert codes_of(first) == {"pkcs11.pin_incorrect": 1, "pkcs11.pin_refused_before": HOSTS - 1}
    assert codes_of(restarted) == {"pkcs11.pin_refused_before": HOSTS * len(checks[1:])}
    assert {answer["failure"]["retryable"] for answer in first + restarted} == {False}
    assert [after_first[name] - before[name] for name in ("logins", "wrong_pins")] == [1, 1]
    assert after_all == after_first  # not even C_Initialize: the library was not loaded
    assert done.values["rotation"]["state"] == "complete"


def test_t32_a_refusal_says_when_and_where_it_was_and_neither_it_nor_the_note_holds_the_pin(ready):
    ready.give_pin(BAD)
    ready.code()

    refusal = ready.refusal()

    [note] = notes(ready.site)
    [entry] = note["refused"]
    assert (note["_id"], sorted(note), sorted(entry)) == (
        "kek-token", ["_id", "refused", "salt"], ["at", "host", "refusal", "tag"],
    )  # fmt: skip
    assert (len(note["salt"]), 0 <= entry["tag"] < 1024) == (16, True)
    for told in (entry["at"].strftime("%Y-%m-%dT%H:%M:%SZ"), os.uname().nodename, entry["refusal"]):
        assert told in refusal.message
    assert BAD not in f"{refusal.as_result()} {note}"


def test_t32_another_wrong_pin_is_tried_once_and_the_first_stays_refused(ready):
    tried = []
    for pin in (BAD, WORSE, BAD, WORSE):
        ready.give_pin(pin)
        tried.append(ready.code())

    assert tried == ["pkcs11.pin_incorrect"] * 2 + ["pkcs11.pin_refused_before"] * 2
    assert ready.counted()["wrong_pins"] == 2


def test_t32_a_host_with_the_right_pin_does_not_make_the_others_try_theirs_again(ready):
    codes = []
    for pin in (BAD, PIN, BAD):
        ready.give_pin(pin)
        codes.append(ready.code("kek_verify", allow_empty_fleet=True))

    assert codes == ["pkcs11.pin_incorrect", "", "pkcs11.pin_refused_before"]
    assert ready.counted()["wrong_pins"] == 1


def test_t32_two_tokens_of_one_label_are_told_apart_by_their_serial_numbers(ready, token):
    one = ready.site.call("kek_pkcs11_init", version=1).values["probe"]["token_serial"]
    other = token.oracle("init")

    codes = []
    for serial in (one, other, one, other):
        ready.give_pin(BAD, token_serial=serial)
        codes.append(ready.code())

    assert codes == ["pkcs11.pin_incorrect"] * 2 + ["pkcs11.pin_refused_before"] * 2
    assert {note["_id"] for note in notes(ready.site)} == {f"kek-token/{one}", f"kek-token/{other}"}


def test_t32_a_token_whose_pin_was_set_to_the_refused_one_is_tried_again_for_that_refusal_alone(ready, token):
    ready.give_pin(BAD)
    ready.code()
    refusal = ready.refusal()
    token.oracle("set_pin", new_pin=BAD)

    codes = [
        ready.code("kek_pkcs11_init", version=1, retry_refusal=asked)
        for asked in ("", "ffffffff", refusal.facts["pkcs11"]["refusal"])
    ]
    later = ready.code()

    assert codes == ["pkcs11.pin_refused_before", "pkcs11.pin_refused_before", ""]
    assert (later, notes(ready.site)[0]["refused"]) == ("", [])


def test_t32_a_retry_that_is_refused_again_is_another_refusal(ready):
    ready.give_pin(BAD)
    ready.code()
    first = ready.refusal().facts["pkcs11"]["refusal"]

    codes = [ready.code("kek_pkcs11_init", version=1, retry_refusal=first) for _restart in range(3)]

    [entry] = notes(ready.site)[0]["refused"]
    assert codes == ["pkcs11.pin_incorrect"] + ["pkcs11.pin_refused_before"] * 2
    assert (ready.counted()["wrong_pins"], entry["refusal"] == first) == (2, False)


def test_t32_of_many_refused_pins_the_latest_eight_are_remembered(ready, monkeypatch):
    monkeypatch.setenv("SHIM_PIN_TRIES", "99")
    for number in range(9):
        ready.give_pin(f"wrong-pin-{number}")
        ready.code("kek_verify", allow_empty_fleet=True)

    assert ready.code("kek_verify", allow_empty_fleet=True) == "pkcs11.pin_refused_before"
    assert len(notes(ready.site)[0]["refused"]) == 8


def test_t32_a_check_run_on_a_fresh_database_leaves_nothing_but_what_a_refusal_must_say(fleet):
    check = {"check": True, "version": 1}
    good = fleet.code("kek_pkcs11_init", **check), fleet.site.client[fleet.site.name].list_collection_names()
    fleet.give_pin(BAD)

    codes = [fleet.code("kek_pkcs11_init", **options) for options in (check, check, {"version": 1})]

    assert good == ("", [])
    assert codes == ["pkcs11.pin_incorrect"] + ["pkcs11.pin_refused_before"] * 2
    assert fleet.counted()["wrong_pins"] == 1
    assert fleet.site.documents().keys() == {"kek_pin_refusals"}


def test_t32_adopting_a_database_tries_a_bad_pin_once(ready):
    ready.site.db.kek_install.delete_many({})
    ready.site.db.dns_credentials.insert_one(credential(b"k" * 32, b"x"))
    ready.give_pin(BAD)

    codes = [ready.code("kek_install_lock", adopt=True) for _restart in range(2)]

    assert codes == ["pkcs11.pin_incorrect", "pkcs11.pin_refused_before"]


def test_t32_a_pin_that_is_changed_during_a_run_is_not_tried_by_the_next_one(ready, token, monkeypatch):
    monkeypatch.setenv("SHIM_DROP_SESSIONS_AFTER", str(ready.counted()["calls"] + 200))
    params = {"config_file": str(ready.site.config_file), "secrets_file": str(ready.site.secrets_file)}
    settings = configuration.settings_from(params, environment={}, warn=print)

    def wrap_under_a_changing_pin():
        with (
            installation.open_database(settings) as store,
            installation.opened_keys(settings, store, install_lock.read(store), workers=WORKERS) as opened,
        ):
            token.oracle("set_pin", new_pin=BAD)
            opened.provider.wrap(1, [WrapRequest(os.urandom(32), b"") for _number in range(2000)])

    with pytest.raises(OpsError) as refused:
        wrap_under_a_changing_pin()
    monkeypatch.delenv("SHIM_DROP_SESSIONS_AFTER")

    assert refused.value.code == "pkcs11.pin_incorrect"
    assert ready.code() == "pkcs11.pin_refused_before"
    assert ready.counted()["wrong_pins"] == 1


def test_t32_a_host_that_dies_in_its_turn_lets_the_next_one_try(ready):
    order = {
        "params": {"config_file": str(ready.site.config_file), "secrets_file": str(ready.site.secrets_file)},
        "verb": "kek_verify",
        "options": {"allow_empty_fleet": True},
        "fail_point": "read_pin_refusals",
        "at": "before",
        "constants": {"LEASE_S": 1},
    }
    died = subprocess.run(
        [sys.executable, str(DYING)], input=json.dumps(order), text=True, capture_output=True, check=False
    )

    assert died.returncode == -9, died.stderr
    assert ready.code("kek_verify", allow_empty_fleet=True) == ""


def test_a_verb_without_keys_takes_no_turn(ready):
    ready.site.db.locks.delete_many({})

    ready.site.call("kek_info")

    assert list(ready.site.db.locks.find()) == []


def test_a_database_user_who_may_only_read_logs_in_without_a_turn(ready, monkeypatch):
    def refused(*_arguments, **_options):
        raise Unauthorized("refused the credentials", hint="")

    turns = list(ready.site.db.locks.find())
    monkeypatch.setattr(login_turn.leases, "acquire_within", refused)

    assert ready.code("kek_verify", allow_empty_fleet=True) == ""
    assert list(ready.site.db.locks.find()) == turns
