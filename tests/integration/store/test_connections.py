# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Servers that speak TLS, have users, or are not there: what is said of each, and that we get in where we may."""

from __future__ import annotations

from contextlib import contextmanager

import pymongo
import pytest
from ansible_collections.certautopilot.ops.plugins.module_utils._domain.errors import OpsError
from ansible_collections.certautopilot.ops.plugins.module_utils._domain.secret import Secret
from ansible_collections.certautopilot.ops.plugins.module_utils._store import journal, opening
from ansible_collections.certautopilot.ops.plugins.module_utils._store.connection import open_store
from ansible_collections.certautopilot.ops.plugins.module_utils._store.opening import Beside

from tests.support import guarded_servers, processes
from tests.support.database import DatabaseServer
from tests.support.guarded_servers import READ, ServerWithUsers


@pytest.fixture(autouse=True)
def impatient(monkeypatch):
    monkeypatch.setattr(opening, "SERVER_SELECTION_TIMEOUT_MS", 3_000)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("guarded")


@pytest.fixture(scope="module")
def files(folder):
    return guarded_servers.certificates(folder / "files")


@pytest.fixture(scope="module")
def tls(folder, files):
    with guarded_servers.with_tls(folder / "tls", files) as server:
        yield server


@pytest.fixture(scope="module")
def users(folder):
    made = ServerWithUsers(folder / "users")
    yield made
    made.server.stop()


@contextmanager
def with_fail_points(folder):
    server = DatabaseServer(folder, "secantusdb", sync_on_commit=False, flags=("--enable-test-commands",))
    server.start()
    client = pymongo.MongoClient(server.uri)
    try:
        yield server, client
    finally:
        client.close()
        server.stop()


def opened(uri, **beside):
    with open_store(Secret(uri), "cap", Beside(**beside)) as store:
        return store.collection_names()


def refusal(uri, **beside):
    with pytest.raises(OpsError) as caught:
        opened(uri, **beside)
    return caught.value


def test_x33_a_ca_file_beside_the_uri_is_enough(tls, files):
    assert opened(f"mongodb://127.0.0.1:{tls.port}/cap", tls=True, ca_file=str(files.ca)) == ()
    assert opened(f"mongodb://127.0.0.1:{tls.port}/cap?tls=true&tlsCAFile={files.ca}") == ()


def test_x33_a_certificate_of_an_unknown_ca_is_named_and_not_retryable(tls):
    failure = refusal(f"mongodb://127.0.0.1:{tls.port}/cap", tls=True)

    assert (failure.code, failure.retryable) == ("database.tls", False)
    assert "a CA that this host does not trust" in failure.message


@pytest.mark.parametrize(
    ("made", "word"), [({"days": -3}, "it has expired"), ({"names": ("192.0.2.1",)}, "it is for another name")]
)
def test_x33_what_is_wrong_with_a_certificate_is_said(tmp_path, made, word):
    files = guarded_servers.certificates(tmp_path, **made)

    with guarded_servers.with_tls(tmp_path, files) as server:
        failure = refusal(f"mongodb://127.0.0.1:{server.port}/cap", tls=True, ca_file=str(files.ca))

    assert (failure.code, failure.retryable) == ("database.tls", False)
    assert word in failure.message


def test_x33_a_server_that_wants_a_certificate_of_the_client_gets_the_one_that_is_named(tmp_path, files):
    with guarded_servers.with_tls(tmp_path, files, client_certificate=True) as server:
        uri = f"mongodb://127.0.0.1:{server.port}/cap"
        assert opened(uri, tls=True, ca_file=str(files.ca), key_file=str(files.client)) == ()
        failure = refusal(uri, tls=True, ca_file=str(files.ca))

    assert failure.code == "database.tls"
    assert "mongodb_tls_certificate_key_file" in failure.hint


def test_x33_a_server_that_speaks_tls_only_is_not_just_away(tls):
    failure = refusal(f"mongodb://127.0.0.1:{tls.port}/cap")

    assert (failure.code, failure.retryable) == ("database.unreachable", True)
    assert "tls=true" in failure.hint


def test_x33_a_server_that_speaks_no_tls_is_not_just_away(server, files):
    failure = refusal(f"{server.uri}cap", tls=True, ca_file=str(files.ca))

    assert failure.code in ("database.tls", "database.unreachable")
    assert "no TLS" in failure.hint


def test_x95_a_wrong_password_and_a_right_that_is_missing_are_told_apart(users):
    reader = users.user("cap", "reader", {"": READ})

    wrong = refusal(reader.replace("reader-word", "wrong-word"))
    with open_store(Secret(reader), "cap") as store, pytest.raises(OpsError) as caught:
        journal.append(store, "demo", {})

    assert (wrong.code, wrong.retryable) == ("database.authentication", False)
    assert "wrong-word" not in str(wrong.as_result())
    assert (caught.value.code, caught.value.retryable) == ("database.unauthorized", False)
    assert "insert" in caught.value.message
    assert "readWrite" in caught.value.hint


def test_x95_nobodys_login_is_refused_as_such(users):
    failure = refusal(f"mongodb://127.0.0.1:{users.server.port}/cap")

    assert failure.code == "database.unauthorized"
    assert "a URI without a user is nobody's login" in failure.hint


@pytest.mark.parametrize("uri", ["mongodb://nosuchhost.invalid:27017/cap", "mongodb+srv://nosuchhost.invalid/cap"])
def test_x95_a_name_that_dns_does_not_know_is_named(uri):
    failure = refusal(uri)

    assert failure.code == "database.unresolved"
    assert "nosuchhost.invalid" in failure.message


def test_a_server_that_is_away_is_unreachable_and_the_run_may_be_repeated():
    failure = refusal(f"mongodb://127.0.0.1:{processes.free_port()}/cap")

    assert (failure.code, failure.retryable) == ("database.unreachable", True)


@pytest.mark.parametrize(
    ("error_code", "code", "retryable"),
    [
        (10107, "database.not_primary", True),
        (14031, "database.disk_full", False),
        (50, "database.timeout", True),
        (371, "database.read_only", False),
        (112, "database.refused", True),
        (121, "database.refused", False),
    ],
)
def test_x95_what_the_server_itself_says_keeps_its_cause(folder, error_code, code, retryable):
    """WHY a fail point: no server can be brought to say all of these, and this one sends them as a real one would."""
    with with_fail_points(folder / f"fail{error_code}") as (server, client):
        client.admin.command(
            "configureFailPoint", "failCommand", mode={"times": 4},
            data={"failCommands": ["listCollections"], "errorCode": error_code},
        )  # fmt: skip

        failure = refusal(f"{server.uri}cap")

    assert (failure.code, failure.retryable) == (code, retryable)
