# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the driver raises becomes one code for each cause, without the driver's own text, which may hold values."""

from __future__ import annotations

import socket

import pytest
from ansible_collections.certautopilot.ops.plugins.module_utils._domain.errors import (
    DatabaseRefused,
    OpsError,
    Unauthorized,
)
from ansible_collections.certautopilot.ops.plugins.module_utils._store import driver_failures
from ansible_collections.certautopilot.ops.plugins.module_utils._store.connection import driver_errors
from ansible_collections.certautopilot.ops.plugins.module_utils._store.driver_failures import Place, Server
from pymongo import errors

TEXT = "the driver's text with a value of a record"


class Store:
    """A store that a failure happened at."""

    def __init__(self, *said, hosts=(("127.0.0.1", 27017),), tls=False):
        self.place = Place('database "cap" at db.example:27017', Server(hosts, tls))
        self._said = list(said)

    def last_heard(self):
        return self._said


def refusal(raised, store=None):
    with pytest.raises(OpsError) as caught, driver_errors(store or Store()):
        raise raised
    return caught.value


def batch(code, **more):
    return errors.BulkWriteError({"writeErrors": [{"code": code, "errmsg": TEXT, **more}]})


@pytest.mark.parametrize(
    ("raised", "code", "retryable"),
    [
        (errors.OperationFailure(TEXT, 18), "database.authentication", False),
        (errors.OperationFailure(TEXT, 11), "database.authentication", False),
        (errors.OperationFailure(TEXT, 13), "database.unauthorized", False),
        (batch(13), "database.unauthorized", False),
        (errors.NotPrimaryError(TEXT), "database.not_primary", True),
        (errors.OperationFailure(TEXT, 10107), "database.not_primary", True),
        (errors.OperationFailure(TEXT, 91), "database.not_primary", True),
        (errors.OperationFailure(TEXT, 371), "database.read_only", False),
        (batch(14031), "database.disk_full", False),
        (errors.ExecutionTimeout(TEXT, 50), "database.timeout", True),
        (errors.WTimeoutError(TEXT, 64), "database.timeout", True),
        (errors.NetworkTimeout(TEXT), "database.timeout", True),
        (errors.WaitQueueTimeoutError(TEXT), "database.timeout", True),
        (errors.WriteConcernError(TEXT, 100), "database.write_concern", False),
        (errors.OperationFailure(TEXT, 112), "database.refused", True),
        (errors.OperationFailure(TEXT, 43), "database.refused", True),
        (batch(112), "database.refused", True),
        (batch(11000, keyPattern={"name": 1}), "database.refused", False),
        (batch(121), "database.refused", False),
        (errors.OperationFailure(TEXT, 2), "database.refused", False),
        (errors.OperationFailure(TEXT, 10334), "database.too_large", False),
        (errors.ServerSelectionTimeoutError(TEXT), "database.unreachable", True),
        (errors.AutoReconnect(TEXT), "database.unreachable", True),
        (errors.ConfigurationError(f"{TEXT}: wire version 5, requires at least 7"), "database.incompatible", False),
        (errors.DocumentTooLarge(TEXT), "database.too_large", False),
        (errors.PyMongoError(TEXT), "database.error", False),
    ],
)
def test_x95_each_cause_has_a_code_of_its_own_and_only_what_can_pass_is_retryable(raised, code, retryable):
    failure = refusal(raised)

    assert (failure.code, failure.retryable) == (code, retryable)
    assert 'database "cap" at db.example:27017' in failure.message
    assert TEXT not in str(failure.as_result())
    assert failure.hint


def test_x95_what_can_pass_is_known_by_the_servers_label_too():
    raised = errors.OperationFailure(TEXT, 9999, {"errorLabels": ["TransientTransactionError"]})

    assert refusal(raised).retryable is True


@pytest.mark.parametrize(
    ("command", "role"), [("collMod", "dbAdmin"), ("insert", "readWrite"), ("find", "read or readWrite")]
)
def test_x95_a_missing_privilege_is_named_with_the_command_and_the_role(command, role):
    said = f'not authorized on cap to execute command {{ {command}: "secret", lsid: {{}} }}'

    failure = refusal(errors.OperationFailure(said, 13, {"errmsg": said}))

    assert isinstance(failure, Unauthorized)
    assert f"does not allow this user {command}" in failure.message
    assert f"give it {role}" in failure.hint
    assert "secret" not in str(failure.as_result())


def test_a_batch_is_told_by_its_first_refused_write_with_the_index_that_is_in_the_way():
    failure = refusal(batch(11000, keyPattern={"project": 1, "name": 1}))

    assert isinstance(failure, DatabaseRefused)
    assert "server code 11000" in failure.message
    assert "a unique index over project, name is in the way" in failure.message


@pytest.mark.parametrize(
    ("said", "word"),
    [
        ("[SSL: CERTIFICATE_VERIFY_FAILED] certificate verify failed: unable to get local issuer certificate", "a CA"),
        (
            "[SSL: CERTIFICATE_VERIFY_FAILED] certificate verify failed: certificate has expired (_ssl",
            "expired",
        ),
        ("certificate verify failed: IP address mismatch, certificate is not valid for", "another name"),
        ("certificate verify failed: self-signed certificate (_ssl.c:1)", "by itself"),
        ("certificate verify failed: self-signed certificate in certificate chain", "a CA"),
        ("certificate verify failed: something new", "not accept"),
    ],
)
def test_x33_a_certificate_that_is_not_trusted_is_no_server_that_is_away(said, word):
    failure = refusal(errors.ServerSelectionTimeoutError("No servers found yet"), Store(said, tls=True))

    assert (failure.code, failure.retryable) == ("database.tls", False)
    assert word in failure.message
    assert "mongodb_tls_ca_file" in failure.hint


def test_x33_a_handshake_that_is_broken_off_is_named():
    said = "127.0.0.1:1: [SSL: TLSV13_ALERT_CERTIFICATE_REQUIRED] tlsv13 alert certificate required (_ssl.c:2580)"

    failure = refusal(errors.ServerSelectionTimeoutError(TEXT), Store(said, tls=True))

    assert (failure.code, failure.retryable) == ("database.tls", False)
    assert "mongodb_tls_certificate_key_file" in failure.hint


@pytest.mark.parametrize(("errno", "retryable"), [(socket.EAI_NONAME, False), (socket.EAI_AGAIN, True)])
def test_x95_a_name_that_is_not_known_is_told_apart_from_a_server_that_is_away(monkeypatch, errno, retryable):
    def getaddrinfo(*_):
        raise socket.gaierror(errno, "text")

    monkeypatch.setattr(driver_failures.socket, "getaddrinfo", getaddrinfo)

    failure = refusal(errors.ServerSelectionTimeoutError(TEXT), Store(hosts=(("db.example", 27017),)))

    assert (failure.code, failure.retryable) == ("database.unresolved", retryable)
    assert "db.example" in failure.message


@pytest.mark.parametrize(("tls", "way"), [(True, "must not ask for it"), (False, "tls=true")])
def test_a_server_that_is_away_may_be_one_that_speaks_tls_or_does_not(tls, way):
    assert way in refusal(errors.AutoReconnect(TEXT), Store(tls=tls)).hint
