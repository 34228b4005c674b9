# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a service's real user can use: found by trying as that user, said with path, permission and the repair."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.integration.site import Site
from tests.integration.token import PIN, SO_PIN
from tests.support import other_user
from tests.support.softhsm import module_path
from tests.support.token_oracle import ask

LABEL = "service-token"


@pytest.fixture(scope="module")
def service():
    with other_user.another() as user:
        yield user


@pytest.fixture
def conf(service, monkeypatch, tmp_path_factory):
    folder = service.folder / tmp_path_factory.mktemp("any").name
    (folder / "tokens").mkdir(parents=True)
    conf = folder / "softhsm2.conf"
    conf.write_text(f"directories.tokendir = {folder / 'tokens'}\nobjectstore.backend = file\nlog.level = ERROR\n")
    ask(str(conf), module_path(), do="init", token=LABEL, pin=PIN, so_pin=SO_PIN)
    service.own(folder / "tokens")
    monkeypatch.setenv("SOFTHSM2_CONF", str(conf))
    return conf


@pytest.fixture
def made(server, service, conf):
    """Make an installation in the service's folder; its database is dropped afterwards."""
    sites = []

    def make(provider: str) -> Site:
        site = Site(conf.parent / f"etc-{provider}", server.uri, server.new_name("ops"), provider=provider)
        sites.append(site)
        if provider == "pkcs11":
            site.pkcs11 = {"module_path": module_path(), "token_label": LABEL, "pin": PIN}
        else:
            site.add_kek(1)
        site.write()
        service.own(site.folder)
        return site

    yield make
    for site in sites:
        site.client.drop_database(site.name)
        site.client.close()


def params(site, user, **more):
    files = {"config_file": str(site.config_file), "secrets_file": str(site.secrets_file)}
    return {**files, "service_user": user.name, **more}


def access(site, user, **options: Any) -> Any:
    return user.call("service_access", params(site, user), unit="", **options)


def told(answer: Any) -> tuple[str, str, str]:
    """Return code, path and permission of the first problem."""
    first = answer["problems"][0]
    return answer["failure"]["code"], first["path"], first["permission"]


@pytest.mark.parametrize(("provider", "init"), [("pkcs11", "kek_pkcs11_init"), ("env", "kek_install_lock")])
def test_an_installation_that_the_service_can_use_is_proven_with_its_key(made, service, provider, init):
    site = made(provider)
    service.call(init, params(site, service), **({"version": 1} if provider == "pkcs11" else {}))

    proven = access(site, service)

    assert (proven["user"], proven["problems"], proven["unproven"]) == (service.name, [], []), proven
    assert proven["key"] == {"versions": [1], "as": service.name, "sandbox": False}
    assert proven["changed"] is False


def test_before_anything_is_made_the_token_is_proven_and_the_database_stays_empty(made, service):
    site = made("pkcs11")
    options = {
        "mongodb_uri": site.uri, "mongodb_database": site.name, "provider": "pkcs11",
        "pkcs11_module_path": module_path(), "pkcs11_token_label": LABEL, "pkcs11_pin": PIN,
    }  # fmt: skip
    nothing = {"config_file": "/dev/null", "secrets_file": "/dev/null", "service_user": service.name}

    proven = service.call("service_access", {**options, **nothing}, unit="")

    assert proven["key"] == {"versions": [], "as": service.name, "sandbox": False}, proven
    assert site.db.list_collection_names() == []


def test_x70_a_config_of_roots_in_a_folder_of_roots_is_named_folder_first_and_repaired_by_what_is_said(made, service):
    site = made("env")
    service.call("kek_install_lock", params(site, service))
    for path in (site.folder, site.config_file):
        os.chown(path, 0, 0)
    site.folder.chmod(0o750)
    site.config_file.chmod(0o640)

    folder = access(site, service)
    subprocess.run(["sh", "-c", folder["failure"]["hint"]], check=True)
    config = access(site, service)
    subprocess.run(["sh", "-c", config["failure"]["hint"]], check=True)
    proven = access(site, service)

    assert told(folder) == ("access.path", str(site.folder), "search")
    assert f"user {service.name} cannot enter {site.folder} (root:root 0750)" in folder["msg"]
    assert told(config) == ("access.path", str(site.config_file), "read")
    assert proven["key"]["versions"] == [1]


def test_x71_a_key_that_root_made_earlier_is_found_and_repaired_by_what_is_said(made, service, conf):
    site = made("pkcs11")
    service.call("kek_pkcs11_init", params(site, service, pkcs11_run_as="module"), version=1)

    found = access(site, service)
    subprocess.run(["sh", "-c", found["failure"]["hint"]], check=True)
    proven = access(site, service)

    code, path, permission = told(found)
    assert (code, permission) == ("access.path", "read")
    assert Path(path).is_relative_to(conf.parent / "tokens")
    assert "root:root 0600" in found["msg"]
    assert proven["key"]["versions"] == [1]


def test_secrets_that_only_root_can_read_are_named_where_no_unit_reads_them(made, service):
    site = made("env")
    os.chown(site.secrets_file, 0, 0)

    found = access(site, service, gather=["files"])

    assert told(found) == ("access.path", str(site.secrets_file), "read")
    assert found["failure"]["hint"] == f"chown {service.name}:{service.name} {site.secrets_file}"


def test_a_library_or_configuration_that_others_cannot_read_is_named(made, service, conf):
    site = made("pkcs11")
    conf.chmod(0o600)
    closed = conf.parent / "closed"
    closed.mkdir(mode=0o700)
    library = closed / "libsofthsm2.so"
    library.symlink_to(module_path())
    site.pkcs11["module_path"] = str(library)
    site.write()
    service.own(site.folder)

    found = access(site, service, gather=["files"])

    assert [(p["path"], p["permission"]) for p in found["problems"]] == [(str(closed), "search"), (str(conf), "read")]
    assert found["problems"][1]["repair"] == f"chmod o+r {conf}"


def test_problems_are_only_listed_where_the_caller_mends_them(made, service):
    site = made("env")
    os.chown(site.config_file, 0, 0)
    site.config_file.chmod(0o640)

    listed = access(site, service, gather=["files"], refuse=False)

    assert [problem["path"] for problem in listed["problems"]] == [str(site.config_file)]
    assert listed["key"] is None


def test_a_token_without_the_key_says_that_it_is_on_this_host_only(made, service, conf, monkeypatch):
    """As on the second node of an installation whose SoftHSM2 token is on the first one."""
    site = made("pkcs11")
    service.call("kek_pkcs11_init", params(site, service), version=1)
    other = conf.parent / "other.conf"
    tokens = conf.parent / "other-tokens"
    tokens.mkdir()
    other.write_text(f"directories.tokendir = {tokens}\nobjectstore.backend = file\nlog.level = ERROR\n")
    ask(str(other), module_path(), do="init", token=LABEL, pin=PIN, so_pin=SO_PIN)
    service.own(tokens)
    monkeypatch.setenv("SOFTHSM2_CONF", str(other))

    refused = access(site, service)

    assert refused["failure"]["code"] == "pkcs11.key_not_found"
    assert "this token is files of this host, and a key that was made on another host is not in them" in refused["msg"]


def test_an_env_kek_that_is_another_nodes_is_refused_by_its_canary(made, service):
    site = made("env")
    service.call("kek_install_lock", params(site, service))
    site.keks[1] = os.urandom(32)
    site.write()
    service.own(site.folder)

    refused = access(site, service)

    assert refused["failure"]["code"] == "key.wrong"
