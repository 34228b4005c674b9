# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Tokens that lack something, lie or die half way: SoftHSM2 behind tests/support/hsm_shim.c."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys

import pyrage
import pytest
from ansible_collections.certautopilot.ops.plugins.module_utils._domain.errors import OpsError

from tests.support import hsm_shim
from tests.support.processes import repository_environment
from tests.support.sealed import credential

AES_GCM, AES_KEY_GEN = "0x1087", "0x1080"
CKR_FUNCTION_REJECTED = "0x200"

pytestmark = pytest.mark.skipif(hsm_shim.compiler() is None, reason=hsm_shim.NO_COMPILER)


@pytest.fixture(scope="session")
def shim(tmp_path_factory):
    return hsm_shim.build(tmp_path_factory.mktemp("shim"))


@pytest.fixture
def faulty(hsm_site, token, shim, monkeypatch):
    """Return a function that puts the shim between the site and its token, with these faults and no others."""

    def put(**faults):
        for name in [name for name in os.environ if name.startswith("SHIM_")]:
            monkeypatch.delenv(name)
        for name, value in hsm_shim.environment(**faults).items():
            monkeypatch.setenv(name, value)
        hsm_site.pkcs11 = token.settings(module_path=shim)
        hsm_site.write()
        return hsm_site

    return put


def refused(site, verb, **options):
    before = site.documents()
    with pytest.raises(OpsError) as refusal:
        site.call(verb, **options)
    assert site.documents() == before
    return refusal.value


def test_without_faults_the_shim_is_a_token_like_any_other(faulty):
    assert faulty().call("kek_pkcs11_init", version=1).changed


@pytest.mark.parametrize("mechanism", [AES_GCM, AES_KEY_GEN])
def test_a_token_without_a_mechanism_is_refused_by_the_probe(faulty, token, mechanism):
    refusal = refused(faulty(hide_mechanism=mechanism), "kek_pkcs11_init", version=1)

    assert refusal.code == "pkcs11.mechanism_missing"
    assert token.keys() == []


def test_a_token_that_lets_nobody_make_keys_is_refused_by_the_probe(faulty, token):
    refusal = refused(faulty(refuse_keygen=CKR_FUNCTION_REJECTED), "kek_pkcs11_init", version=1)

    assert refusal.code == "pkcs11.key_generation_refused"
    assert token.keys() == []


@pytest.fixture
def bundle(env_site, tmp_path):
    """A bundle of 300 credentials; returns its folder and identity."""
    env_site.db.dns_credentials.insert_many([credential(env_site.keks[1], b"x" * 9) for _number in range(288)])
    identity = pyrage.x25519.Identity.generate()
    path = tmp_path / "identity"
    path.touch(mode=0o600)
    path.write_text(f"{identity}\n")
    folder = tmp_path / "bundle"
    env_site.call("data_export", dest=str(folder), recipients=(str(identity.to_public()),))
    return {"src": str(folder), "identity_file": str(path), "trust": "bundle"}


def test_a_token_that_dies_half_way_stops_the_import_which_goes_on_when_it_is_back(faulty, bundle, monkeypatch):
    site = faulty()
    site.call("kek_pkcs11_init", version=1)
    monkeypatch.setenv("SHIM_DEAD_AFTER", "150")

    with pytest.raises(OpsError) as failure:
        site.call("data_import", **bundle)
    monkeypatch.delenv("SHIM_DEAD_AFTER")
    done = site.call("data_import", **bundle)

    assert failure.value.code in ("pkcs11.token_gone", "pkcs11.session_lost")
    assert failure.value.retryable
    assert done.values["manifest"]["equal"] == 305


def test_a_token_that_dies_half_way_stops_a_rotation_which_goes_on_when_it_is_back(faulty, bundle, monkeypatch):
    site = faulty()
    site.call("kek_pkcs11_init", version=1)
    site.call("data_import", **bundle)
    site.call("kek_pkcs11_init", version=2)
    monkeypatch.setenv("SHIM_DEAD_AFTER", "150")

    with pytest.raises(OpsError) as failure:
        site.call("kek_rotate", to_version=2, batch_size=50)
    versions = sorted(document["kek_version"] for document in site.db.dns_credentials.find())
    active = site.db.kek_versions.find_one({"_id": "active"})["version"]
    monkeypatch.delenv("SHIM_DEAD_AFTER")
    done = site.call("kek_rotate", to_version=2, batch_size=50)

    assert failure.value.retryable
    assert (versions[0], versions[-1], active) == (1, 2, 1)
    assert done.values["rotation"]["state"] == "complete"
    assert done.values["rotation"]["rewrapped"] == versions.count(1)


def test_t27_a_wrap_that_comes_out_corrupt_never_reaches_the_database(faulty, bundle, env_site, token, monkeypatch):
    site = faulty()
    site.call("kek_pkcs11_init", version=1)
    monkeypatch.setenv("SHIM_CORRUPT_EVERY", "97")
    with contextlib.suppress(OpsError):
        site.call("data_import", **bundle)
    monkeypatch.delenv("SHIM_CORRUPT_EVERY")
    site.call("data_import", **bundle)
    site.call("kek_pkcs11_init", version=2)
    monkeypatch.setenv("SHIM_CORRUPT_EVERY", "97")
    with contextlib.suppress(OpsError):
        site.call("kek_rotate", to_version=2)

    moved = site.db.dns_credentials.count_documents({"kek_version": 2})
    report = oracle(env_site, site, token)

    assert moved > 0
    assert (report["records"], report["equal"], report["opened"]) == (305, 305, 300)


@pytest.fixture
def ready_to_rotate(faulty, bundle):
    """Return a function that puts these faults before a token with the bundle's records under V1, and a V2."""

    def prepare(**faults):
        site = faulty()
        site.call("kek_pkcs11_init", version=1)
        site.call("data_import", **bundle)
        site.call("kek_pkcs11_init", version=2)
        return faulty(**faults)

    return prepare


def test_t27_a_data_key_that_the_token_opens_wrongly_never_reaches_the_database(
    ready_to_rotate, faulty, env_site, token, tmp_path
):
    state = tmp_path / "shim.state"
    site = ready_to_rotate(state=state, corrupt_decrypt_every=50)

    with contextlib.suppress(OpsError):
        site.call("kek_rotate", to_version=2, batch_size=50)

    report = oracle(env_site, faulty(), token)
    assert hsm_shim.counters(state)["corrupted"] >= 300 * 2 // 50
    assert site.db.dns_credentials.count_documents({"kek_version": 2}) > 0
    assert (report["records"], report["equal"], report["opened"]) == (305, 305, 300)


def test_a_payload_that_was_damaged_before_does_not_keep_its_wrap_from_moving(ready_to_rotate):
    site = ready_to_rotate()
    victim = site.db.dns_credentials.find_one()
    damaged = bytearray(victim["encrypted_api_key"]["ciphertext"])
    damaged[0] ^= 1
    site.db.dns_credentials.update_one(
        {"_id": victim["_id"]}, {"$set": {"encrypted_api_key.ciphertext": bytes(damaged)}}
    )

    rotation = site.call("kek_rotate", to_version=2).values["rotation"]

    assert (rotation["state"], rotation["rewrapped"], rotation["failures"]) == ("complete", 300, [])
    assert site.db.dns_credentials.find_one({"_id": victim["_id"]})["encrypted_api_key"]["ciphertext"] == damaged


@pytest.fixture
def rotated_and_proven(ready_to_rotate, faulty, env_site, token, tmp_path):
    """Return a function that rotates to V2 with these faults; it returns the rotation and what the shim counted.

    Afterwards the oracle opens every record and compares it with what was imported.
    """

    def rotate(**faults):
        state = tmp_path / "shim.state"
        site = ready_to_rotate(state=state, **faults)
        done = site.call("kek_rotate", to_version=2, batch_size=50, workers=2)
        counted = hsm_shim.counters(state)
        report = oracle(env_site, faulty(), token)
        assert (report["records"], report["equal"], report["opened"]) == (305, 305, 300)
        assert {document["kek_version"] for document in site.db.dns_credentials.find()} == {2}
        return done.values["rotation"], counted

    return rotate


def test_t19_a_library_that_crashes_stops_a_rotation_by_name_and_the_next_run_ends_it(ready_to_rotate, faulty):
    site = ready_to_rotate(crash_after=300)

    with pytest.raises(OpsError) as crashed:
        site.call("kek_rotate", to_version=2, batch_size=50, workers=2)
    done = faulty().call("kek_rotate", to_version=2, batch_size=50)

    assert (crashed.value.code, crashed.value.retryable) == ("pkcs11.worker_crashed", True)
    assert "signal 11" in crashed.value.message
    assert (done.values["rotation"]["state"], done.values["rotation"]["remaining"]) == ("complete", 0)


@pytest.mark.parametrize("code", ["0x30", "0xE0", "0xB3", "0x30,0xE0,0xB3"])
def test_t21_a_rotation_outlives_a_blip_in_every_fifty_calls(rotated_and_proven, code):
    rotation, counted = rotated_and_proven(error_every=50, error_codes=code)

    assert (rotation["state"], rotation["failures"]) == ("complete", [])
    assert counted["injected"] >= 300 * 3 // 50
    assert rotation["retries"] >= counted["injected"] // 2  # the others met the opening of the token


def test_x44_a_healthy_token_is_asked_nothing_twice(rotated_and_proven):
    rotation, _counted = rotated_and_proven()

    assert (rotation["state"], rotation["retries"]) == ("complete", 0)


def test_t22_a_rotation_over_a_throttled_token_is_complete(rotated_and_proven):
    rotation, counted = rotated_and_proven(rate_cap=500)

    assert (rotation["state"], rotation["failures"]) == ("complete", [])
    assert counted["refused"] > 0


def test_t34_a_rotation_outlives_the_loss_of_all_sessions(rotated_and_proven):
    rotation, counted = rotated_and_proven(drop_sessions_after=500, shuffle_handles=1)

    assert (rotation["state"], rotation["failures"]) == ("complete", [])
    assert (counted["drops"], counted["wrong_pins"]) == (1, 0)


def oracle(source, destination, token):
    """Return what the oracle says of both sites, every envelope opened with PyKCS11 or cryptography."""
    command = [sys.executable, "-m", "tests.support.oracle", "compare"]
    for name, site in (("--source", source), ("--destination", destination)):
        command += [name, str(site.config_file), str(site.secrets_file)]
    environment = repository_environment({"SOFTHSM2_CONF": token.conf})
    done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True, check=False)
    return json.loads(done.stdout)
