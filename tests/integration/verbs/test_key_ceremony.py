# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The record of a key's making: what the token told, in row, journal and file; and what is otherwise today."""

from __future__ import annotations

import hashlib
import json
import os

import pytest
from ansible_collections.certautopilot.ops.plugins.module_utils._domain.errors import OpsError

from tests.support import hsm_shim


def test_the_record_is_in_row_journal_and_result_and_says_what_the_token_says(hsm_site, token):
    made = hsm_site.call("kek_pkcs11_init", version=1).values

    [key] = token.keys()
    record = made["ceremony"]
    row = hsm_site.db.kek_versions.find_one({"_id": 1})
    [entry] = hsm_site.db.kek_journal.find({"verb": "kek_pkcs11_init"})
    assert record == row["ceremony"] == entry["facts"]["ceremony"]
    assert (record["id"], record["check_value"]) == (key["id"], made["key"]["check_value"])
    for name in ("sensitive", "extractable", "never_extractable", "local", "encrypt", "decrypt", "private", "token"):
        assert record["attributes"][name] == key[name], name
    assert record["device"]["token_serial"] == made["probe"]["token_serial"]
    assert record["device"]["firmware"]
    assert record["made"]["host"] == os.uname().nodename
    assert hsm_site.call("kek_pkcs11_init", version=1).values["ceremony"] == record


def test_the_file_is_written_once_is_the_same_bytes_and_never_replaced(hsm_site, token, tmp_path):
    path = tmp_path / "record.json"
    options = {"version": 1, "record_file": str(path)}

    checked = hsm_site.call("kek_pkcs11_init", check=True, **options)
    nothing = path.exists()
    made = hsm_site.call("kek_pkcs11_init", **options)
    first = hashlib.sha256(path.read_bytes()).hexdigest()
    again = hsm_site.call("kek_pkcs11_init", **options)
    path.unlink()
    later = hsm_site.call("kek_pkcs11_init", **options)

    assert (checked.changed, nothing, made.changed, again.changed, later.changed) == (True, False, True, False, True)
    assert hashlib.sha256(path.read_bytes()).hexdigest() == first
    assert json.loads(path.read_text()) == made.values["ceremony"]
    path.write_text("signed by two people")
    with pytest.raises(OpsError) as refused:
        hsm_site.call("kek_pkcs11_init", **options)
    assert refused.value.code == "init.record"
    assert path.read_text() == "signed by two people"


def test_kek_info_shows_no_drift_of_a_key_that_is_as_it_was_made(hsm_site, token):
    hsm_site.call("kek_pkcs11_init", version=1)

    [key] = hsm_site.call("kek_info", gather=("lock", "keys")).values["keys"]

    assert (key["there"], key["drift"]) == (True, [])
    assert hsm_site.call("kek_info").values["keys"] is None


def test_kek_info_shows_another_serial_another_firmware_and_a_changed_attribute(hsm_site, token):
    hsm_site.call("kek_pkcs11_init", version=1)
    was = {"device.token_serial": "0123", "device.firmware": "1.0", "attributes.derive": True}
    was = {f"ceremony.{name}": value for name, value in was.items()}
    hsm_site.db.kek_versions.update_one({"_id": 1}, {"$set": was})

    [key] = hsm_site.call("kek_info", gather=("keys",)).values["keys"]

    assert [(one["what"], one["was"]) for one in key["drift"]] == [
        ("attributes.derive", True), ("device.firmware", "1.0"), ("device.token_serial", "0123"),
    ]  # fmt: skip


def test_kek_info_says_of_a_key_that_is_gone_and_of_one_without_a_record_what_it_can(hsm_site, token):
    hsm_site.call("kek_pkcs11_init", version=1)
    hsm_site.call("kek_pkcs11_init", version=2)
    token.oracle("destroy", label="certautopilot-kek-v2")
    hsm_site.db.kek_versions.update_one({"_id": 1}, {"$unset": {"ceremony": 1}})

    first, second = hsm_site.call("kek_info", gather=("keys",)).values["keys"]

    assert (first["there"], first["recorded"], first["drift"]) == (True, None, None)
    assert (second["there"], second["problem"], second["drift"]) == (False, "pkcs11.key_not_found", None)


def test_kek_info_needs_no_token_for_env(env_site):
    assert env_site.call("kek_info", gather=("keys",)).values["keys"] is None


@pytest.mark.skipif(hsm_shim.compiler() is None, reason=hsm_shim.NO_COMPILER)
def test_a_wrong_pin_that_kek_info_meets_is_noted_too(hsm_site, token):
    hsm_site.call("kek_pkcs11_init", version=1)
    hsm_site.pkcs11 = token.settings(pin="0000-wrong")
    hsm_site.write()

    codes = []
    for _host in range(2):
        with pytest.raises(OpsError) as refused:
            hsm_site.call("kek_info", gather=("keys",))
        codes.append(refused.value.code)

    assert codes == ["pkcs11.pin_incorrect", "pkcs11.pin_refused_before"]
