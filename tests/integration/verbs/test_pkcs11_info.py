# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""pkcs11_info on SoftHSM2 and on a shim with known parameters: what is told is what the shim was told to do."""

from __future__ import annotations

import pytest
from ansible_collections.certautopilot.ops.plugins.module_utils._domain.errors import OpsError
from ansible_collections.certautopilot.ops.plugins.module_utils._module import configuration
from ansible_collections.certautopilot.ops.plugins.module_utils._verbs import pkcs11_info

from tests.integration.token import PIN
from tests.support import hsm_shim
from tests.support.softhsm import module_path

COUNT_LOW, PIN_LOCKED = 0x10000, 0x40000


@pytest.fixture(scope="session")
def library(tmp_path_factory):
    if hsm_shim.compiler() is None:
        pytest.skip(hsm_shim.NO_COMPILER)
    return hsm_shim.build(tmp_path_factory.mktemp("shim"))


@pytest.fixture
def shim(library, tmp_path, monkeypatch):
    """Return a function that sets faults and gives the path of the shim; `shim.counters()` tells what reached it."""

    def faults(**given):
        for name, value in hsm_shim.environment(state=tmp_path / "shim.state", **given).items():
            monkeypatch.setenv(name, value)
        return library

    faults.counters = lambda: hsm_shim.counters(tmp_path / "shim.state")
    return faults


def examined(token, *, path=None, check=False, pin=PIN, settings=None, **options):
    """Return what the module returns, without any database."""
    params = {
        "config_file": "/dev/null", "secrets_file": "/dev/null", "pkcs11_module_path": path or module_path(),
        "pkcs11_token_label": token.label, **({"pkcs11_pin": pin} if pin else {}), **(settings or {}),
    }  # fmt: skip
    resolved = configuration.settings_from(params, environment={}, warn=print)
    given = {"parallel": (1,), **options}
    return pkcs11_info.run(resolved, pkcs11_info.Options(**given), check=check, warn=print).values


def answers(found):
    return {one["requirement"]: one["answer"] for one in found["requirements"]}


def refused(found):
    return [one for one in found["requirements"] if one["answer"] == "will not work because"]


def test_softhsm2_is_fit_and_nothing_stays_in_it(token):
    found = examined(token, token_key=True, parallel=(1, 2))

    assert (found["fit"], refused(found)) == (True, [])
    assert {*answers(found).values()} == {"works"}
    gcm = found["gcm"]
    assert (gcm["iv_mode"], gcm["iv_offered"], gcm["tag_bits"][0]) == ("caller", "random", 128)
    assert found["gcm"]["aad"] == {"0": "works", "32": "works", "1024": "works"}
    assert found["gcm"]["largest_buffer"] >= 65536
    assert "CKM_AES_GCM" in found["mechanisms"]
    assert (found["token_key"]["sensitive"], found["token_key"]["extractable"]) == (True, False)
    assert [rate["workers"] for rate in found["rates"]] == [1, 2]
    assert found["recommended_workers"] in (1, 2)
    assert [slot["token"]["label"] for slot in found["slots"] if slot["token"]["label"]] == [token.label]
    assert token.keys() == []


def test_in_check_mode_no_key_of_the_token_is_made(token):
    found = examined(token, token_key=True, check=True)

    assert (found["fit"], found["token_key"]) == (None, None)


def test_without_a_login_flags_are_read_and_no_pin_is_tried(token, shim):
    path = shim(token_flags=COUNT_LOW)

    found = examined(token, path=path, login=False, pin=None)

    assert "CKF_USER_PIN_COUNT_LOW" in found["token"]["flags"]
    assert (found["fit"], found["gcm"], shim.counters()["logins"]) == (False, None, 0)
    assert "no login was tried" in refused(found)[0]["told"]


@pytest.mark.parametrize(("flags", "told"), [(COUNT_LOW, "refused lately"), (PIN_LOCKED, "locked")])
def test_a_pin_that_may_be_near_its_lock_is_not_tried_where_nobody_notes_it(token, shim, flags, told):
    found = examined(token, path=shim(token_flags=flags))

    assert (found["fit"], shim.counters()["logins"]) == (False, 0)
    assert told in refused(found)[0]["told"]


def test_a_wrong_pin_costs_one_try_and_is_a_verdict(token, shim):
    found = examined(token, path=shim(), pin="0000-wrong", parallel=(1, 2, 4))

    assert (found["fit"], shim.counters()["logins"]) == (False, 1)
    assert "CKR_PIN_INCORRECT" in refused(found)[0]["told"]


def test_with_a_database_a_refused_pin_is_noted_and_not_tried_again(hsm_site, token):
    files = {"config_file": str(hsm_site.config_file), "secrets_file": str(hsm_site.secrets_file)}
    hsm_site.call("kek_pkcs11_init", version=1)
    wrong = dict(hsm_site.pkcs11, pin="0000-wrong")
    hsm_site.pkcs11 = wrong
    hsm_site.write()

    first = examined(token, settings=files, pin=None)
    with pytest.raises(OpsError) as refusal:
        examined(token, settings=files, pin=None)

    assert first["fit"] is False
    assert refusal.value.code == "pkcs11.pin_refused_before"
    assert len(hsm_site.db.kek_pin_refusals.find_one()["refused"]) == 1


@pytest.mark.parametrize(
    ("way", "mode", "offered", "answer"),
    [
        ("in_place", "in_place", "random", "works with"),
        ("in_place_zeroed", "in_place", "zeros", "works with"),
        ("appended", "appended", "random", "works with"),
        ("null_appended", "appended", "none", "works with"),
        ("refused", None, "none", "will not work because"),
        ("appended_16", None, "none", "will not work because"),
        ("keeps_zeros", None, "none", "will not work because"),
    ],
)
def test_the_rule_of_the_iv_is_what_the_shim_does(token, shim, way, mode, offered, answer):
    found = examined(token, path=shim(iv=way))

    assert (found["gcm"]["iv_mode"], found["gcm"]["iv_offered"]) == (mode, offered)
    assert answers(found)["CKM_AES_GCM with an IV of 96 bits"] == answer
    assert found["gcm"]["iv_ways"].keys() == {"random", "zeros", "none"}
    assert (found["fit"] is False) is (mode is None)


@pytest.mark.parametrize(
    ("faults", "requirement", "told"),
    [
        ({"slot_sick": 0x32}, "one token with this label and serial number", "CKR_DEVICE_REMOVED"),
        ({"initialize": 0x30}, "a library that can be loaded and initialised", "CKR_DEVICE_ERROR"),
        ({"hide_mechanism": 0x1087}, "CKM_AES_GCM", "CKR_MECHANISM_INVALID"),
        ({"refuse_keygen": 0xD1}, "an AES-256 key of the session", "CKR_TEMPLATE_INCONSISTENT"),
        ({"anonymous": 1}, "a login with the user PIN", "C_GetSessionInfo"),
    ],
)
def test_what_will_not_work_is_named_with_its_code(token, shim, faults, requirement, told):
    found = examined(token, path=shim(**faults))

    assert found["fit"] is False
    [wrong] = [one for one in refused(found) if one["requirement"] == requirement]
    assert told in wrong["told"]


def test_a_token_that_shows_no_check_value_works_with_the_canarys_tag(token, shim):
    found = examined(token, path=shim(no_check_value=1), token_key=True)

    assert answers(found)["a check value of the key"] == "works with"
    assert found["fit"] is True


def test_rate_cap_latency_and_sessions_of_a_known_hsm_are_measured_and_the_fewest_processes_recommended(token, shim):
    """2 ms a call: one process makes 500 wraps a second, two make 1000; the token has six sessions."""
    found = examined(token, path=shim(latency_us=2000, sessions=6), parallel=(1, 2, 4, 8))

    rates = {rate["workers"]: rate for rate in found["rates"]}
    assert (sorted(rates), found["session_cap"]) == ([1, 2, 4], 6)
    assert 2.0 <= rates[1]["latency_ms"] < 4.0
    assert 250 < rates[1]["calls_per_second"] <= 500
    assert rates[2]["calls_per_second"] > 1.4 * rates[1]["calls_per_second"]
    assert found["recommended_workers"] in (2, 4)


@pytest.mark.parametrize("options", [{"parallel": (0,)}, {"parallel": (65,)}, {"seconds": 0}, {"seconds": 61}])
def test_numbers_without_sense_are_refused_before_anything_is_touched(token, shim, options):
    with pytest.raises(OpsError) as refusal:
        examined(token, path=shim(), **options)

    assert refusal.value.code == "settings.seconds"
