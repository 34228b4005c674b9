# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Sites and tokens: a database server for the session; a database, and a token where asked for, for each test."""

from __future__ import annotations

import itertools
import os
from pathlib import Path

import pytest

from tests.support import database
from tests.support.sealed import credential

from .site import Site
from .token import Token

FOLDER = Path(__file__).parent
LONGEST = ("test_playbooks.py", "test_rehearsal.py", "test_rollback_playbook.py")


def pytest_collection_modifyitems(items):
    """Put what runs Ansible first: a file runs in one process, and the longest must not be what all wait for."""
    items.sort(key=lambda item: (item.path.name not in LONGEST, item.path.parent not in (FOLDER, FOLDER / "modules")))


@pytest.fixture(autouse=True)
def nothing_stays_in_the_environment():
    """Fail a test that leaves settings in this process's environment: each later test would read them."""
    before = _settings_in_the_environment()
    yield
    left = _settings_in_the_environment()
    for name in {*before, *left}:
        os.environ.pop(name, None)
    os.environ.update(before)
    assert sorted(left) == sorted(before), "a test left variables in the environment, or took them away"


def _settings_in_the_environment():
    return {name: value for name, value in os.environ.items() if name.startswith(("CERTAUTOPILOT_", "SOFTHSM2_"))}


@pytest.fixture(scope="session")
def server(tmp_path_factory):
    # WHY without sync-on-commit: these tests crash our processes, not the server; an fsync a document is for others.
    with database.running(tmp_path_factory.mktemp("server"), sync_on_commit=False) as running:
        yield running


@pytest.fixture
def new_site(server, tmp_path):
    """Make sites; their databases are dropped afterwards."""
    made, numbers = [], itertools.count(1)

    def make(provider="env"):
        site = Site(tmp_path / f"site{next(numbers)}", server.uri, server.new_name("ops"), provider=provider)
        made.append(site)
        return site

    yield make
    for site in made:
        site.client.drop_database(site.name)
        site.client.close()


@pytest.fixture
def env_site(new_site):
    """An env installation with KEK V1, its lock, and 12 DNS credentials."""
    site = new_site()
    kek = site.add_kek(1)
    site.write()
    site.call("kek_install_lock")
    site.db.dns_credentials.insert_many([credential(kek, f"secret {n}".encode()) for n in range(12)])
    site.db.zones.insert_many([{"_id": n, "apex": f"{n}.example"} for n in range(5)])
    return site


@pytest.fixture
def empty_env_site(new_site):
    """An env installation with another KEK V1 and its lock, without records."""
    site = new_site()
    site.add_kek(1)
    site.write()
    site.call("kek_install_lock")
    return site


@pytest.fixture
def token(tmp_path, monkeypatch):
    """A token; this process and its children find it through SOFTHSM2_CONF."""
    (tmp_path / "tokens").mkdir()
    conf = tmp_path / "softhsm2.conf"
    conf.write_text(f"directories.tokendir = {tmp_path / 'tokens'}\nobjectstore.backend = file\nlog.level = ERROR\n")
    monkeypatch.setenv("SOFTHSM2_CONF", str(conf))
    made = Token(str(conf), "kek-token")
    made.oracle("init")
    return made


@pytest.fixture
def hsm_site(new_site, token):
    """A pkcs11 installation's configuration over a fresh database and a fresh token; nothing is initialised."""
    site = new_site("pkcs11")
    site.pkcs11 = token.settings()
    site.write()
    return site
