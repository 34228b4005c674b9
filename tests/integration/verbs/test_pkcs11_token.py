# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A SoftHSM2 token is made once; PyKCS11 looks at it without our code."""

from __future__ import annotations

import pytest
from ansible_collections.certautopilot.ops.plugins.module_utils._domain.errors import OpsError

from tests.integration.token import PIN, SO_PIN, Token
from tests.support import hsm_shim, softhsm

LABEL = "made-here"


@pytest.fixture
def site(env_site, tmp_path, monkeypatch):
    """Settings of a token that is not there yet, and both PINs in files."""
    conf = softhsm.configuration(tmp_path / "softhsm")
    monkeypatch.setenv("SOFTHSM2_CONF", str(conf))
    env_site.conf, env_site.tokens = str(conf), conf.parent / "tokens"
    env_site.pkcs11 = {"module_path": softhsm.module_path(), "token_label": LABEL, "pin": PIN}
    env_site.write()
    env_site.so_pin_file = tmp_path / "so-pin"
    env_site.so_pin_file.touch(mode=0o600)
    env_site.so_pin_file.write_text(f"{SO_PIN}\n")
    return env_site


def call(site, **options):
    return site.call("pkcs11_token", **{"so_pin_file": str(site.so_pin_file), **options})


def code_of(site, **options):
    with pytest.raises(OpsError) as refused:
        call(site, **options)
    return refused.value.code


def files(site):
    return {path: path.read_bytes() for path in site.tokens.rglob("*") if path.is_file()}


def test_it_is_made_once_and_a_check_makes_nothing(site):
    checked = call(site, check=True)
    untouched = files(site) == {}
    made = call(site)
    before = files(site)
    again = call(site, so_pin_file="")

    assert (checked.changed, checked.values["token"], untouched) == (True, None, True)
    assert (checked.before, checked.after) == ({"token": "absent"}, {"token": "made"})
    assert (made.changed, made.before) == (True, {"token": "absent"})
    assert made.after == {"token": {"label": LABEL, "serial": made.values["token"]["serial"]}}
    assert (again.changed, again.values["token"], files(site)) == (False, made.values["token"], before)
    # The PINs are the ones of the files, and the serial is what PyKCS11 reads.
    assert Token(site.conf, LABEL).keys() == []
    assert [one["serial"] for one in softhsm.call("tokens", site.tokens.parent, LABEL, "")] == [
        made.values["token"]["serial"]
    ]
    assert all(path.stat().st_mode & 0o077 == 0 for path in before)


def test_a_label_that_is_there_twice_is_refused_with_both_serials_until_one_is_named(site):
    serials = [Token(site.conf, LABEL).oracle("init") for _token in range(2)]
    before = files(site)

    with pytest.raises(OpsError) as refused:
        call(site)
    site.pkcs11["token_serial"] = serials[0]
    site.write()
    named = call(site)

    assert refused.value.code == "pkcs11.token_ambiguous"
    assert all(serial in refused.value.message for serial in serials)
    assert (named.changed, named.values["token"]["serial"]) == (False, serials[0])
    assert files(site) == before


def test_a_serial_that_no_token_has_makes_none(site):
    call(site)
    site.pkcs11["token_serial"] = "00000000deadbeef"
    site.write()

    assert code_of(site) == "pkcs11.token_not_found"


def test_what_is_missing_is_said_before_anything_is_made(site):
    without = code_of(site, so_pin_file="")
    site.pkcs11["token_label"] = "l" * 33
    site.write()
    long = code_of(site)
    site.pkcs11 = {"module_path": softhsm.module_path(), "token_label": LABEL}
    site.write()

    assert (without, long, code_of(site)) == ("pkcs11.so_pin_missing", "pkcs11.token_label", "pkcs11.pin_missing")
    assert files(site) == {}


def test_a_making_that_was_interrupted_is_completed_and_a_wrong_pin_of_the_officer_is_tried_once(
    site, tmp_path, monkeypatch
):
    if hsm_shim.compiler() is None:
        pytest.skip(hsm_shim.NO_COMPILER)
    site.pkcs11["module_path"] = hsm_shim.build(tmp_path)
    site.write()
    for name, value in hsm_shim.environment(fault_function=10, fault_kind="before").items():  # C_InitPIN
        monkeypatch.setenv(name, value)
    interrupted = code_of(site)
    for name in ("SHIM_FAULT_FUNCTION", "SHIM_FAULT_KIND"):
        monkeypatch.delenv(name)
    right = site.so_pin_file.read_text()
    site.so_pin_file.write_text("not-the-officers-pin")
    wrong = code_of(site)
    checked = call(site, check=True)
    site.so_pin_file.write_text(right)
    completed, again = call(site), call(site)

    assert (interrupted, wrong) == ("pkcs11.token_not_made", "pkcs11.so_pin_refused")
    assert (checked.changed, checked.values["token"]["label"]) == (True, LABEL)
    assert (completed.changed, completed.after["user_pin"], again.changed) == (True, "set", False)
    assert len(softhsm.call("tokens", site.tokens.parent, LABEL, "")) == 1
    assert Token(site.conf, LABEL).keys() == []
