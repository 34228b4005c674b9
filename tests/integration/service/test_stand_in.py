# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The stand-in keeps the contracts that the product documents: start-up checks, hot reload, API, command line."""

from __future__ import annotations

import json
import secrets
import subprocess
import sys
import time
import urllib.error
import urllib.request

import pymongo
import pytest
import yaml

from tests.support.lab import Lab
from tests.support.processes import repository_environment

RECORDS = 60


@pytest.fixture(scope="module")
def lab(tmp_path_factory):
    made = Lab(tmp_path_factory.mktemp("lab"))
    made.up(records=RECORDS, with_source=True)
    yield made
    made.down()


@pytest.fixture(scope="module")
def api(lab):
    """Return call(method, path, body, key) -> (status, body)."""
    base = f"http://127.0.0.1:{yaml.safe_load(lab.files('old')[0].read_text())['server']['port']}"
    admin = (lab.folder / "api-key").read_text().strip()

    def call(method, path, body=None, key=admin):
        data = json.dumps(body).encode() if body is not None else None
        request = urllib.request.Request(base + path, data, {"Authorization": f"Bearer {key}"}, method=method)
        try:
            with urllib.request.urlopen(request, timeout=10) as answer:
                return answer.status, answer.read()
        except urllib.error.HTTPError as refusal:
            return refusal.code, refusal.read()

    return call


def items(answer):
    status, body = answer
    assert status == 200
    return json.loads(body)


def kek(lab, *words):
    """Run one of the product's `kek` commands on the source."""
    config, secrets_file = lab.files("old")
    line = [sys.executable, "-m", "tests.support.service", "kek", *words]
    line += ["--config", str(config), "--secrets", str(secrets_file)]
    return subprocess.run(line, env=repository_environment(), capture_output=True, text=True, check=False)


def database(lab):
    name = yaml.safe_load(lab.files("old")[0].read_text())["database"]["name"]
    return pymongo.MongoClient((lab.folder / "old" / "uri").read_text())[name]


def test_the_seeder_makes_exactly_what_was_asked_for_over_all_kinds(lab):
    db = database(lab)
    names = set(db.list_collection_names()) - {"kek_install", "kek_versions", "process_heartbeats"}

    assert sum(db[name].count_documents({}) for name in names) == RECORDS
    assert {"certificates", "certificate_private_keys", "acme_accounts", "msca_connections", "dns_credentials",
            "module_credentials", "notification_channels", "users", "settings", "projects"} <= names  # fmt: skip
    assert db.users.count_documents({"totp.encrypted_seed": {"$exists": True}}) > 0


def test_certificates_come_in_pages_and_each_exactly_once(api):
    (project, *_others) = items(api("GET", "/api/v1/projects"))["items"]
    path = f"/api/v1/projects/{project['id']}/certificates"
    everything = [entry["id"] for entry in items(api("GET", path + "?limit=500"))["items"]]

    paged, cursor = [], ""
    while True:
        page = items(api("GET", f"{path}?limit=1&cursor={cursor}"))
        paged += [entry["id"] for entry in page["items"]]
        cursor = page["next_cursor"]
        if not cursor:
            break

    assert paged == everything
    assert len(everything) > 0


def test_a_download_token_works_once_and_key_formats_come_with_the_key(api, lab):
    db = database(lab)
    sealed = db.certificate_private_keys.find_one()
    path = f"/api/v1/projects/{sealed['project_id']}/certificates/{sealed['certificate_id']}/download-tokens"
    status, body = api("POST", path, {"format": "key.pem"})
    token = json.loads(body)["token"]

    first, second = (api("GET", f"/api/v1/downloads/{token}") for _number in range(2))

    assert status == 201
    assert first[0] == 200
    assert first[1].startswith(b"-----BEGIN PRIVATE KEY-----")
    assert second[0] == 410


@pytest.mark.parametrize("key", ["", "cap_short", "cap_" + "a" * 52])
def test_without_a_valid_key_nothing_is_answered(api, key):
    assert api("GET", "/api/v1/projects", key=key)[0] == 401


def test_the_active_version_is_followed_without_a_restart(api, lab):
    """A rotation by the stand-in's own command line; the running service meets the new row at a heartbeat."""
    with lab.files("old")[1].open("a") as secrets_file:
        secrets_file.write(f"CERTAUTOPILOT_ENCRYPTION_ENV_KEK_V2={secrets.token_hex(32)}\n")
    lab.service("stop", "old")
    lab.service("serve", "old")

    done = kek(lab, "rotate", "--from-version", "1", "--to-version", "2")
    deadline = time.monotonic() + 10
    while json.loads(api("GET", "/readyz")[1])["version"] != 2 and time.monotonic() < deadline:
        time.sleep(0.2)

    assert done.returncode == 0, done.stderr
    assert json.loads(api("GET", "/readyz")[1]) == {"ready": True, "provider": "env", "version": 2}
    stale = kek(lab, "verify", "--target", "2")
    database(lab).process_heartbeats.delete_many({"loaded_versions": [1]})  # what the TTL index does after 120 s
    assert "not ready" in stale.stderr
    assert kek(lab, "verify", "--target", "2").returncode == 0
    assert kek(lab, "remove", "--version", "2").returncode != 0
