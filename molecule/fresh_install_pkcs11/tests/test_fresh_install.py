# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""After a fresh installation, from outside: files, socket, lock, key."""

from __future__ import annotations

import os
from pathlib import Path

import pymongo
import yaml

from tests.support import softhsm
from tests.support.http_get import get
from tests.support.lab import TOKEN, Lab

LAB = Lab(Path(os.environ["LAB_DIR"]))
NEW = yaml.safe_load(LAB.inventory.read_text())["all"]["children"]["destination"]["hosts"]["new"]


def database():
    client = pymongo.MongoClient((LAB.folder / "new" / "uri").read_text())
    return client[NEW["install_mongodb_database"]]


def test_configuration_and_secrets_have_their_modes(host):
    config, secrets_file = LAB.files("new")

    assert host.file(str(config)).mode == 0o640
    assert host.file(str(secrets_file)).mode == 0o600
    assert "PEPPER" in secrets_file.read_text()


def test_the_database_is_locked_for_pkcs11_with_one_row():
    lock = database().kek_install.find_one()

    assert (lock["provider"], lock["installed_by"]) == ("pkcs11", "pkcs11-init")
    assert database().kek_versions.find_one({"_id": "active"})["version"] == 1
    assert database().kek_versions.count_documents({}) == 2


def test_the_key_is_the_one_that_lock_and_row_name():
    (key,) = softhsm.call("keys", LAB.folder / "hsm", TOKEN, LAB.pin)

    assert key["id"] == database().kek_install.find_one()["install_id"] + "00000001"
    assert key["id"] == database().kek_versions.find_one({"_id": 1})["key"]["id"]


def test_the_service_is_ready():
    assert get(NEW["certautopilot_health_url"])[0] == 200
