# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A token of another process: `p11-kit server` gives SoftHSM2 out over a socket, and p11-kit-client.so is the library.

p11-kit-remote serves each connection. What its protocol carries depends on the release: 0.24 has no AES-GCM in it, so
the token is refused by name and nothing is made; where it has, the whole road is gone.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from pathlib import Path

import pytest
from ansible_collections.certautopilot.ops.plugins.module_utils._domain.errors import OpsError

from tests.integration.token import PIN
from tests.support import softhsm

PLACES = (*Path("/usr/lib").glob("*-linux-gnu/pkcs11"), Path("/usr/lib64/pkcs11"), Path("/usr/lib/pkcs11"))
CLIENT = next((str(place / "p11-kit-client.so") for place in PLACES if (place / "p11-kit-client.so").exists()), "")

pytestmark = [
    pytest.mark.skipif(not CLIENT, reason="no p11-kit-client.so (Debian's p11-kit-modules)"),
    pytest.mark.skipif(shutil.which("p11-kit") is None, reason="no p11-kit (Debian's p11-kit)"),
]


@pytest.fixture
def p11_server(token, tmp_path, monkeypatch):
    """Serve SoftHSM2's tokens over a socket; yield the process."""
    socket = tmp_path / "p11"
    monkeypatch.setenv("P11_KIT_SERVER_ADDRESS", f"unix:path={socket}")
    # WHY by the model: PyKCS11 pads the label with NUL, which p11-kit takes for a part of it.
    command = [
        "p11-kit",
        "server",
        "--provider",
        softhsm.module_path(),
        "-n",
        socket,
        "-f",
        "pkcs11:model=SoftHSM%20v2",
    ]
    running = subprocess.Popen(
        command, env={**os.environ, "SOFTHSM2_CONF": token.conf}, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    limit = time.monotonic() + 10
    while not socket.exists() and time.monotonic() < limit:
        time.sleep(0.05)
    yield running
    running.terminate()
    running.wait(10)


@pytest.fixture
def site(hsm_site, token, p11_server):
    hsm_site.pkcs11 = token.settings(module_path=CLIENT)
    hsm_site.write()
    return hsm_site


def answers(site, **options):
    found = site.call("pkcs11_info", parallel=(1,), **options).values
    return found, {one["requirement"]: (one["answer"], one["told"]) for one in found["requirements"]}


def carries_gcm(site):
    return "CKM_AES_GCM" in site.call("pkcs11_info", parallel=(1,)).values["mechanisms"]


def test_the_token_of_another_process_is_found_by_label_and_serial_and_logged_in_to(site, token):
    found, said = answers(site)

    assert found["token"]["label"] == token.label
    assert found["token"]["manufacturer"] == "SoftHSM project"
    assert said["a login with the user PIN"] == ("works", "")
    assert said["an AES-256 key of the session"] == ("works", "")
    site.pkcs11["token_serial"] = "0000000000000000"
    site.write()
    assert answers(site, login=False)[1]["one token with this label and serial number"][0] == "will not work because"


def test_a_protocol_without_aes_gcm_is_refused_by_name_and_nothing_is_made(site, token):
    if carries_gcm(site):
        pytest.skip("this release of p11-kit carries AES-GCM")
    before = site.documents()

    refusals = []
    for check in (True, False):
        with pytest.raises(OpsError) as refused:
            site.call("kek_pkcs11_init", check=check, version=1)
        refusals.append(refused.value)
    found, said = answers(site)

    assert [refusal.code for refusal in refusals] == ["pkcs11.mechanism_missing"] * 2
    assert "AES_GCM" in refusals[0].message
    assert (found["fit"], said["CKM_AES_GCM"][0]) == (False, "will not work because")
    assert (token.keys(), site.documents()) == ([], before)


def test_keys_are_made_used_rotated_and_destroyed_through_the_socket(site, token):
    if not carries_gcm(site):
        pytest.skip("this release of p11-kit carries no AES-GCM")
    made = site.call("kek_pkcs11_init", version=1).values
    second = site.call("kek_pkcs11_init", version=2).values["key"]
    rotated = site.call("kek_rotate", to_version=2, workers=2).values["rotation"]
    site.call("kek_remove", version=1, grace=0, destroy_key=True, check_value=made["key"]["check_value"])

    held = token.keys()
    assert rotated["state"] == "complete"
    assert [key["id"] for key in held] == [second["id"]]


def test_a_wrong_pin_costs_one_try_there_too(site, token):
    site.pkcs11 = token.settings(module_path=CLIENT, pin=PIN + "-wrong")
    site.write()

    codes = []
    for _host in range(3):
        with pytest.raises(OpsError) as refused:
            site.call("kek_pkcs11_init", version=1)
        codes.append(refused.value.code)

    assert codes == ["pkcs11.pin_incorrect", "pkcs11.pin_refused_before", "pkcs11.pin_refused_before"]


def test_a_server_that_is_gone_is_told_and_nobody_is_told_to_make_a_token(site, p11_server):
    p11_server.terminate()
    p11_server.wait(10)

    with pytest.raises(OpsError) as refused:
        site.call("kek_pkcs11_init", version=1)

    assert refused.value.code in ("pkcs11.token_gone", "pkcs11.module_load_failed")
    assert "token made" not in refused.value.hint
