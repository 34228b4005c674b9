# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The whole road through p11-kit-proxy, a library that answers each C_GetFunctionList with another list (X56).

SoftHSM2 is behind it, by the module file that its Debian package brings; PyKCS11 looks at the token without the proxy.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pymongo
import pytest
import yaml
from ansible_collections.certautopilot.ops.plugins.module_utils._domain.errors import OpsError

from tests.integration.token import PIN
from tests.support import hsm_shim, softhsm
from tests.support.demo import ansible_environment
from tests.support.lab import TOKEN, Lab
from tests.support.processes import REPOSITORY

PLACES = (Path("/usr/lib"), Path("/usr/lib64"), *Path("/usr/lib").glob("*-linux-gnu"))
PROXY = next((str(place / "p11-kit-proxy.so") for place in PLACES if (place / "p11-kit-proxy.so").exists()), "")
REGISTERED = any(Path("/usr/share/p11-kit/modules").glob("softhsm2*"))

pytestmark = pytest.mark.skipif(not PROXY or not REGISTERED, reason="no p11-kit-proxy with SoftHSM2 behind it")

# In a process of its own, as every use of a library: what the second list says, and what ours says.
TWO_LISTS = """
import ctypes, os, sys
from ansible_collections.certautopilot.ops.plugins.module_utils._keys.pkcs11.worker import function_list
import pkcs11
library, path = pkcs11.lib(sys.argv[1]), sys.argv[1]
fresh = ctypes.c_void_p()
ctypes.CDLL(path).C_GetFunctionList(ctypes.byref(fresh))
call = ctypes.CFUNCTYPE(ctypes.c_ulong, ctypes.c_void_p)(
    function_list._FunctionList.from_address(fresh.value).functions[2]
)
print(hex(call(ctypes.byref(ctypes.create_string_buffer(256)))))
raw = function_list.RawModule(path, library)
print(raw.function(30, ctypes.c_ulong) is not None, function_list.RawModule(path)._functions is None)
"""


def test_x56_the_list_that_is_used_is_the_one_that_the_binding_initialised(token):
    done = subprocess.run(
        [sys.executable, "-c", TWO_LISTS, PROXY],
        env={**os.environ, "PYTHONPATH": str(REPOSITORY / ".build" / "collections")},
        capture_output=True, text=True, check=False, timeout=900,
    )  # fmt: skip

    # CKR_CRYPTOKI_NOT_INITIALIZED from a fresh list; ours is reached; by the path alone nothing is.
    assert done.stdout.split() == ["0x190", "True", "True"], done.stderr


def test_x56_keys_are_made_used_rotated_and_destroyed(hsm_site, token, tmp_path):
    hsm_site.pkcs11 = token.settings(module_path=PROXY)
    hsm_site.write()

    made = hsm_site.call("kek_pkcs11_init", version=1).values
    second = hsm_site.call("kek_pkcs11_init", version=2).values["key"]
    rotated = hsm_site.call("kek_rotate", to_version=2, workers=3).values["rotation"]
    verified = hsm_site.call("kek_verify", allow_empty_fleet=True).values["fleet_gate"]
    backup = hsm_site.call("db_backup", dest=str(tmp_path / "backup"))
    hsm_site.call("kek_remove", version=1, grace=0, destroy_key=True, check_value=made["key"]["check_value"])

    assert (made["probe"]["iv_mode"], made["probe"]["key_generation"]) == ("caller", True)
    assert (rotated["state"], verified["target"], backup.changed) == ("complete", 2, True)
    keys = token.keys()
    assert [key["id"] for key in keys] == [second["id"]]


def test_x56_what_is_sealed_through_the_proxy_opens_without_it_and_the_other_way_round(hsm_site, env_site, token):
    hsm_site.pkcs11 = token.settings(module_path=PROXY)
    hsm_site.write()
    hsm_site.call("kek_pkcs11_init", version=1)
    hsm_site.pkcs11 = token.settings()
    hsm_site.write()

    hsm_site.call("kek_verify", allow_empty_fleet=True)
    hsm_site.call("kek_pkcs11_init", version=2)
    hsm_site.pkcs11 = token.settings(module_path=PROXY)
    hsm_site.write()

    assert hsm_site.call("kek_rotate", to_version=2).values["rotation"]["state"] == "complete"


def test_x56_a_wrong_pin_costs_one_try_there_too(hsm_site, token):
    hsm_site.pkcs11 = token.settings(module_path=PROXY, pin=PIN + "-wrong")
    hsm_site.write()

    codes = []
    for _host in range(3):
        with pytest.raises(OpsError) as refused:
            hsm_site.call("kek_pkcs11_init", version=1)
        codes.append(refused.value.code)

    assert codes == ["pkcs11.pin_incorrect", "pkcs11.pin_refused_before", "pkcs11.pin_refused_before"]


@pytest.fixture
def lab(tmp_path):
    made = Lab(tmp_path / "lab")
    try:
        made.up(records=0, with_source=False)
        yield made
    finally:
        made.down()


def test_x56_an_installation_and_a_rotation_by_playbook_go_through_the_proxy(lab):
    given = ["-e", f"install_pkcs11_module_path={PROXY}", "-e", f"install_pkcs11_token_serial={serial(lab)}"]

    checked = play(lab, "fresh_install", *given, "--check")
    installed = play(lab, "fresh_install", *given)
    again = play(lab, "fresh_install", *given)
    rotated = play(
        lab, "rotate", "-e", "rotate_to_version=2", "-e", "rotate_make_key=true", "-e", "rotate_workers=2",
        "-e", f"rotate_report_dir={lab.folder / 'evidence'}", "--limit", "new",
    )  # fmt: skip

    for done in (checked, installed, again, rotated):
        assert done.returncode == 0, done.stdout + done.stderr
    config = yaml.safe_load(lab.files("new")[0].read_text())
    assert config["encryption"]["pkcs11"] == {
        "module_path": PROXY, "token_label": TOKEN, "token_serial": serial(lab), "use_gcm_iv_from_hsm": False,
    }  # fmt: skip
    assert "changed=0" in again.stdout
    keys = softhsm.call("keys", lab.folder / "hsm", TOKEN, lab.pin)
    assert sorted(key["label"] for key in keys) == ["certautopilot-kek-v1", "certautopilot-kek-v2"]
    database = pymongo.MongoClient((lab.folder / "new" / "uri").read_text())[config["database"]["name"]]
    assert database.kek_versions.find_one({"_id": "active"})["version"] == 2


def test_x57_what_the_probe_learned_about_the_iv_and_the_serial_are_in_config_yaml(lab, tmp_path, monkeypatch):
    """A library that makes its own IV, in place: the product is told, and a file that says otherwise is refused."""
    if hsm_shim.compiler() is None:
        pytest.skip(hsm_shim.NO_COMPILER)
    for name, value in hsm_shim.environment(iv="in_place_zeroed").items():
        monkeypatch.setenv(name, value)
    library = hsm_shim.build(tmp_path)
    given = ["-e", f"install_pkcs11_module_path={library}", "-e", f"install_pkcs11_token_serial={serial(lab)}"]

    installed = play(lab, "fresh_install", *given)
    # Records that the stand-in seals by the HSM's own IVs are opened and moved by ours.
    seeded = lab.service("seed", "new", "--records", "60", "--api-key-file", str(lab.folder / "api-key"))
    rotated = play(
        lab, "rotate", "-e", "rotate_to_version=2", "-e", "rotate_make_key=true",
        "-e", f"rotate_report_dir={lab.folder / 'evidence'}", "--limit", "new",
    )  # fmt: skip
    config = lab.files("new")[0]
    written = yaml.safe_load(config.read_text())["encryption"]["pkcs11"]
    config.write_text(config.read_text().replace("use_gcm_iv_from_hsm: true", "use_gcm_iv_from_hsm: false"))
    refused = play(lab, "fresh_install", *given)

    assert [done.returncode for done in (installed, seeded, rotated)] == [0] * 3, rotated.stdout + seeded.stderr
    assert (written["use_gcm_iv_from_hsm"], written["token_serial"]) == (True, serial(lab))
    assert refused.returncode != 0
    assert "install.config_differs" in refused.stdout


def play(lab, name, *arguments):
    command = [Path(sys.executable).parent / "ansible-playbook", "-i", lab.inventory, f"certautopilot.ops.{name}"]
    return subprocess.run(
        [*command, *arguments], env=ansible_environment(lab), capture_output=True, text=True, check=False, timeout=900
    )


def serial(lab):
    [found] = softhsm.call("tokens", lab.folder / "hsm", TOKEN, "")
    return found["serial"]
