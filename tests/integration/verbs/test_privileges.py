# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which rights in the database each verb needs: the table of docs/privileges.md, tried on a server with users.

With its row's role a verb does its work; with the next smaller one it is refused by a code and names what is missing.
"""

from __future__ import annotations

import re

import pytest
from ansible_collections.certautopilot.ops.plugins.module_utils._domain.errors import OpsError

from tests.integration.site import Site
from tests.support.guarded_servers import DB_ADMIN, READ, READ_WRITE, ServerWithUsers
from tests.support.repository import ROOT
from tests.support.sealed import credential

ROLES = {"read": READ, "readWrite": READ_WRITE, "readWrite and dbAdmin": (*READ_WRITE, *DB_ADMIN)}
# Verb -> its options.
READING = {
    "kek_info": {},
    "kek_verify": {"allow_empty_fleet": True},
    "db_backup": {"dest": "out"},
    "cert_export": {"dest": "out"},
    "fleet_quiet": {"quiet_for": 1},
}
WRITING = {
    "kek_install_lock": {},
    "kek_rotate": {"to_version": 2},
    "migration_turn": {"run": "a-run"},
}
ADMIN = {"kek_remove": {"version": 1, "grace": 0}}
VERBS = {
    **dict.fromkeys(READING, "read"),
    **dict.fromkeys(WRITING, "readWrite"),
    **dict.fromkeys(ADMIN, "readWrite and dbAdmin"),
}
OPTIONS = {**READING, **WRITING, **ADMIN}


@pytest.fixture(scope="module")
def users(tmp_path_factory):
    made = ServerWithUsers(tmp_path_factory.mktemp("users"))
    yield made
    made.server.stop()


@pytest.fixture
def site(users, tmp_path):
    """Return an env installation with two versions on the server with users, its KEK 1, and the server."""
    name = f"cap_{re.sub('[^a-z0-9]', '', tmp_path.name.lower())[-20:]}"
    made = Site(tmp_path / "site", users.root, name)
    kek = made.add_kek(1)
    made.add_kek(2)
    made.write()
    yield made, kek, users
    made.client.drop_database(name)
    made.client.close()


def prepared(made, kek, verb):
    if verb == "kek_install_lock":
        return
    made.call("kek_install_lock")
    made.db.dns_credentials.insert_many([credential(kek, b"secret") for _number in range(3)])
    if verb == "kek_remove":
        made.call("kek_rotate", to_version=2)


def call_as(made, users, role, verb, tmp_path):
    made.uri = users.user(made.name, f"user_{len(role)}", {"": ROLES[role]})
    made.write()
    options = {name: str(tmp_path / value) if name == "dest" else value for name, value in OPTIONS[verb].items()}
    return made.call(verb, **options)


@pytest.mark.parametrize("verb", VERBS)
def test_a_verb_works_with_the_role_that_the_table_gives_it(site, tmp_path, verb):
    made, kek, users = site
    prepared(made, kek, verb)

    done = call_as(made, users, VERBS[verb], verb, tmp_path)

    assert done is not None


@pytest.mark.parametrize("verb", [verb for verb, role in VERBS.items() if role != "read"])
def test_a_verb_is_refused_by_a_code_with_less(site, tmp_path, verb):
    made, kek, users = site
    prepared(made, kek, verb)
    less = list(ROLES)[list(ROLES).index(VERBS[verb]) - 1]

    with pytest.raises(OpsError) as refused:
        call_as(made, users, less, verb, tmp_path)

    assert refused.value.code == "database.unauthorized"
    assert refused.value.retryable is False


def test_the_table_says_what_was_tried():
    table = (ROOT / "docs/privileges.md").read_text()
    rows = dict(re.findall(r"^\| `(\w+)` \| ([^|]+?) \|", table, re.MULTILINE))

    assert {verb: rows[verb] for verb in VERBS} == VERBS


def test_every_module_of_the_database_is_in_the_table():
    table = (ROOT / "docs/privileges.md").read_text()
    fragment = "certautopilot.ops._mongodb"
    modules = {path.stem for path in ROOT.glob("plugins/modules/*.py") if fragment in path.read_text()}

    assert modules <= set(re.findall(r"`(\w+)`", table))
