# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A third provider is an object and one line: with it in the list, verbs install, seal, rotate and refuse."""

from __future__ import annotations

import hashlib

import pytest
import yaml
from ansible_collections.certautopilot.ops.plugins.module_utils._domain.errors import OpsError
from ansible_collections.certautopilot.ops.plugins.module_utils._domain.settings import Setting
from ansible_collections.certautopilot.ops.plugins.module_utils._installation.installation import open_installation
from ansible_collections.certautopilot.ops.plugins.module_utils._keys import registry
from ansible_collections.certautopilot.ops.plugins.module_utils._keys.env import EnvProvider
from ansible_collections.certautopilot.ops.plugins.module_utils._module import configuration

from tests.support.sealed import credential

SEED = "a seed that all hosts of the test share"
KEYRING = Setting("toy_seed", "CERTAUTOPILOT_ENCRYPTION_TOY_SEED", ("encryption", "toy", "seed"))


def kek_of(version):
    return hashlib.sha256(f"{SEED}{version}".encode()).digest()


class ToyProvider(EnvProvider):
    name = "toy"


class ToyKind:
    """A provider whose KEKs are derived from a seed in config.yaml, in memory."""

    NAME = ToyProvider.name
    DEVICE = False
    INSTALLED_BY = "toy-service"
    OPTIONS = (KEYRING,)
    NEEDS = {}  # noqa: RUF012  a constant

    def from_settings(self, settings, *, workers=1):
        seed = settings.require(KEYRING)
        return ToyProvider({number: hashlib.sha256(f"{seed}{number}".encode()).digest() for number in (1, 2)})

    def library_variables(self, settings):
        return ()

    def used_paths(self, settings):
        return ()

    def first_login(self, settings):
        return None


@pytest.fixture
def toy_site(new_site, monkeypatch):
    monkeypatch.setattr(registry, "KINDS", (*registry.KINDS, ToyKind()))  # the one line
    site = new_site("toy")
    site.write()
    config = yaml.safe_load(site.config_file.read_text())
    config["encryption"]["toy"] = {"seed": SEED}
    site.config_file.write_text(yaml.safe_dump(config))
    return site


def test_a_third_provider_installs_seals_and_rotates(toy_site):
    lock = toy_site.call("kek_install_lock").values["lock"]
    records = [credential(kek_of(1), f"secret {n}".encode()) for n in range(7)]
    for record in records:
        record["encrypted_api_key"]["provider"] = "toy"
    toy_site.db.dns_credentials.insert_many(records)

    rotated = toy_site.call("kek_rotate", to_version=2)

    assert (lock["provider"], lock["installed_by"]) == ("toy", "toy-service")
    assert rotated.values["rotation"]["rewrapped"] == 7
    assert toy_site.db.dns_credentials.distinct("encrypted_api_key.kek_version") == [2]
    row = toy_site.db.kek_versions.find_one({"_id": 2})
    assert (row["provider"], row["state"], row["canary"]["provider"]) == ("toy", "active", "toy")


def test_a_third_provider_is_opened_with_its_keys_proven(toy_site):
    toy_site.call("kek_install_lock")
    params = {"config_file": str(toy_site.config_file), "secrets_file": str(toy_site.secrets_file)}
    settings = configuration.settings_from(params, environment={}, warn=print)

    with open_installation(settings) as installation:
        assert installation.provider.name == "toy"
        assert installation.provider.versions() == (1, 2)
        assert installation.provider.key_admin is None

    toy_site.config_file.write_text(toy_site.config_file.read_text().replace("all hosts", "no host"))
    with pytest.raises(OpsError) as refusal:
        toy_site.call("kek_verify")
    assert refusal.value.code == "key.wrong"


def test_a_third_provider_and_the_others_refuse_each_others_databases(toy_site, env_site):
    toy_site.call("kek_install_lock")
    toy_site.provider, env_site.provider = "env", "toy"
    toy_site.add_kek(1)
    toy_site.write()
    env_site.write()

    refusals = []
    for site in (toy_site, env_site):
        with pytest.raises(OpsError) as refusal:
            site.call("kek_install_lock")
        refusals.append(refusal.value)

    assert [refused.code for refused in refusals] == ["lock.provider_mismatch"] * 2
    assert 'installed="toy"' in refusals[0].message
    assert 'config says "toy"' in refusals[1].message


def test_a_provider_whose_keys_are_given_makes_none(toy_site):
    with pytest.raises(OpsError) as refusal:
        toy_site.call("kek_pkcs11_init", version=1)

    assert refusal.value.code == "init.provider"
    assert toy_site.documents() == {}
