# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""HSM calls by root as the service's user: whose files the keys are, who opens them, what is refused (X71)."""

from __future__ import annotations

import json
import os
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.integration.site import Site
from tests.integration.token import PIN, SO_PIN
from tests.support import other_user
from tests.support.other_user import OtherUser
from tests.support.softhsm import module_path
from tests.support.token_oracle import ask

LABEL = "service-token"


@pytest.fixture
def service() -> Iterator[OtherUser]:
    with other_user.another() as user:
        yield user


@pytest.fixture
def conf(service: OtherUser, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The configuration of a token that is the service's user's, as an administrator makes it."""
    tokens = service.folder / "tokens"
    tokens.mkdir()
    conf = service.folder / "softhsm2.conf"
    conf.write_text(f"directories.tokendir = {tokens}\nobjectstore.backend = file\nlog.level = ERROR\n")
    conf.chmod(0o644)
    ask(str(conf), module_path(), do="init", token=LABEL, pin=PIN, so_pin=SO_PIN)
    service.own(tokens)
    monkeypatch.setenv("SOFTHSM2_CONF", str(conf))
    return conf


@pytest.fixture
def site(server: Any, service: OtherUser, conf: Path) -> Iterator[Site]:
    """An installation whose files are the service's user's."""
    site = Site(service.folder / "etc", server.uri, server.new_name("ops"), provider="pkcs11")
    site.pkcs11 = {"module_path": module_path(), "token_label": LABEL, "pin": PIN}
    site.write()
    service.own(site.folder)
    yield site
    site.client.drop_database(site.name)
    site.client.close()


def params(site: Site, user: OtherUser, **more: str) -> dict[str, str]:
    files = {"config_file": str(site.config_file), "secrets_file": str(site.secrets_file)}
    return {**files, "service_user": user.name, **more}


def owners(service: OtherUser) -> set[int]:
    """Return whose the files of the token are."""
    return {path.stat().st_uid for path in (service.folder / "tokens").rglob("*")}


def keys_seen_by(user: OtherUser, conf: Path) -> int:
    """Return how many keys a process of this user finds, by PyKCS11, without our code."""
    script = (
        "import json, sys, PyKCS11 as p; l = p.PyKCS11Lib(); l.load(sys.argv[1]);"
        "ours = lambda s: l.getTokenInfo(s).label.rstrip(chr(0) + chr(32)) == sys.argv[2];"
        "[s] = filter(ours, l.getSlotList(tokenPresent=True));"
        "h = l.openSession(s, p.CKF_SERIAL_SESSION | p.CKF_RW_SESSION); h.login(sys.stdin.read());"
        "print(len(h.findObjects([(p.CKA_CLASS, p.CKO_SECRET_KEY)])))"
    )
    environment = {**other_user.libraries(), "SOFTHSM2_CONF": str(conf)}
    ended = subprocess.run(
        [user.python, "-c", script, module_path(), LABEL], input=PIN, env=environment, text=True, capture_output=True,
        user=user.uid, group=user.gid, extra_groups=[user.gid], cwd="/", check=True,
    )  # fmt: skip  # runs: python
    return int(ended.stdout)


def test_x71_a_key_that_root_has_made_is_the_services_and_the_service_finds_it(site, service, conf):
    made = service.call("kek_pkcs11_init", params(site, service), version=1)

    assert made.get("changed"), made
    assert owners(service) == {service.uid}
    assert keys_seen_by(service, conf) == 1


def test_x71_without_it_the_key_is_roots_and_the_service_finds_none(site, service, conf):
    """The fault itself, kept so that the test above is known to see it."""
    service.call("kek_pkcs11_init", params(site, service, pkcs11_run_as="module"), version=1)

    assert 0 in owners(service)
    assert keys_seen_by(service, conf) == 0


def test_a_second_run_changes_nothing_and_other_verbs_use_the_key_as_the_service_does(site, service):
    service.call("kek_pkcs11_init", params(site, service), version=1)

    again = service.call("kek_pkcs11_init", params(site, service), version=1)
    second = service.call("kek_pkcs11_init", params(site, service), version=2)
    rotated = service.call("kek_rotate", params(site, service), to_version=2, allow_empty_fleet=True)

    assert (again["changed"], second["changed"], rotated.get("changed")) == (False, True, True), rotated
    assert owners(service) == {service.uid}


def test_a_wrong_pin_is_tried_once_by_all_workers_of_another_user_too(site, service):
    service.call("kek_pkcs11_init", params(site, service), version=1)
    site.pkcs11["pin"] = "not-the-pin"
    site.write()
    service.own(site.folder)

    first = service.call("kek_pkcs11_init", params(site, service), version=1)
    then = service.call("kek_pkcs11_init", params(site, service), version=1)

    assert first["failure"]["code"] == "pkcs11.pin_incorrect"
    assert then["failure"]["code"] == "pkcs11.pin_refused_before"
    assert "not-the-pin" not in str(first) + str(then)


def test_a_key_that_the_user_cannot_read_is_never_made_again(site, service, conf):
    service.call("kek_pkcs11_init", params(site, service, pkcs11_run_as="module"), version=1)
    before = sorted((service.folder / "tokens").rglob("*"))

    refused = service.call("kek_pkcs11_init", params(site, service), version=1)

    assert refused["failure"]["code"] == "pkcs11.key_not_found"
    assert f"as user {service.name}" in refused["msg"]
    assert sorted((service.folder / "tokens").rglob("*")) == before


def test_a_user_whom_the_host_does_not_know_is_refused(site, service):
    refused = service.call("kek_pkcs11_init", params(site, service, pkcs11_run_as="nobody-like-this"), version=1)

    assert refused["failure"]["code"] == "pkcs11.run_as"
    assert "nobody-like-this" in refused["msg"]


def test_an_interpreter_in_roots_home_is_named_as_the_cause(site, service, tmp_path):
    """tmp_path is of mode 0700, as root's home is."""
    python = tmp_path / "python3"
    python.symlink_to(service.python)

    refused = service.call("kek_pkcs11_init", params(site, service), python=str(python), version=1)

    assert refused["failure"]["code"] == "pkcs11.run_as"
    assert f"user {service.name} cannot run {python} (Permission denied)" in refused["msg"]
    assert site.db.kek_install.count_documents({}) == 0


# A provider that is open, until its process is killed: prints its workers' pids.
OPEN = """
import json, sys, time
from ansible_collections.certautopilot.ops.plugins.module_utils._domain.pkcs11_settings import Pkcs11Settings
from ansible_collections.certautopilot.ops.plugins.module_utils._domain.secret import Secret
from ansible_collections.certautopilot.ops.plugins.module_utils._keys.pkcs11.jobs import PoolOptions
from ansible_collections.certautopilot.ops.plugins.module_utils._keys.pkcs11.provider import Pkcs11Provider
order = json.load(sys.stdin)
settings = Pkcs11Settings(order["module"], order["label"], pin=Secret(order["pin"]), run_as=order["user"])
provider = Pkcs11Provider(settings, PoolOptions(workers=3))
provider.open()
print(json.dumps(provider.worker_pids), flush=True)
time.sleep(60)
"""


@pytest.fixture
def opened(service: OtherUser, conf: Path) -> Iterator[tuple[subprocess.Popen[str], list[int]]]:
    process = subprocess.Popen(
        [service.python, "-c", OPEN], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        env={**other_user.libraries(), "CERTAUTOPILOT_ENCRYPTION_PKCS11_PIN": PIN, "SUDO_USER": "somebody"},
    )  # fmt: skip  # runs: python
    assert process.stdin
    assert process.stdout
    process.stdin.write(json.dumps({"module": module_path(), "label": LABEL, "pin": PIN, "user": service.name}))
    process.stdin.close()
    yield process, json.loads(process.stdout.readline())
    process.kill()
    process.wait()


def status_of(pid: int) -> dict[str, list[str]]:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return {name: value.split() for name, _colon, value in (line.partition(":") for line in lines)}


def test_each_worker_is_that_user_alone_with_its_groups_and_its_home(service, opened):
    _process, pids = opened

    assert len(pids) == 3
    for pid in pids:
        status = status_of(pid)
        assert set(status["Uid"]) == {str(service.uid)}
        assert set(status["Gid"]) == {str(service.gid)}
        assert set(status["Groups"]) == {str(group) for group in os.getgrouplist(service.name, service.gid)}
        environment = dict(
            line.split("=", 1) for line in Path(f"/proc/{pid}/environ").read_text().split("\0") if "=" in line
        )
        assert (environment["HOME"], environment["USER"]) == (str(service.folder), service.name)
        assert "SUDO_USER" not in environment
        assert PIN not in str(environment)


def test_another_process_of_that_user_cannot_look_into_a_worker_whose_parent_is_root(service, opened):
    _process, pids = opened

    assert not service.can("cat", f"/proc/{pids[0]}/environ")
    assert service.can("cat", "/proc/self/environ")


def test_workers_of_another_user_end_with_their_parent(opened):
    process, pids = opened

    process.kill()
    process.wait()

    limit = time.monotonic() + 10
    while any(Path(f"/proc/{pid}").exists() for pid in pids) and time.monotonic() < limit:
        time.sleep(0.05)
    assert [pid for pid in pids if Path(f"/proc/{pid}").exists()] == []


def test_a_module_that_is_not_root_says_so(service, conf):
    order = json.dumps({"module": module_path(), "label": LABEL, "pin": PIN, "user": "root"})
    ended = subprocess.run(
        [service.python, "-c", OPEN], input=order, env=other_user.libraries(), text=True, capture_output=True,
        user=service.uid, group=service.gid, extra_groups=[], cwd="/", check=False,
    )  # fmt: skip  # runs: python

    assert f"is to be used as user root, and the module runs as {service.name}, expected root" in ended.stderr
