# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A URI is taken apart as the driver takes it apart, and what is weak about a connection is told."""

from __future__ import annotations

import pytest
from ansible_collections.certautopilot.ops.plugins.module_utils._domain.mongodb_uri import (
    parts_of,
    passwords_in,
    weak_points,
)
from ansible_collections.certautopilot.ops.plugins.module_utils._domain.secret import Secret
from pymongo.uri_parser import parse_uri

URIS = [
    "mongodb://db.example",
    "mongodb://db.example:27018/cap",
    "mongodb://app:hunter2hunter2@db.example/cap?authSource=admin",
    "mongodb://app:pass#word[1]@db.example/cap",
    "mongodb://app:p%40ss%2Fw@a.example:1,b.example:2/cap?replicaSet=rs0&tls=true",
    "mongodb://[::1]:27019/cap",
    "mongodb://db.example?tls=true",
    "mongodb://db.example/cap.collection",
]


@pytest.mark.parametrize("uri", URIS)
def test_x95_a_uri_has_the_parts_that_the_driver_finds_in_it(uri):
    driver = parse_uri(uri)

    ours = parts_of(Secret(uri))

    assert ours.database == (driver["database"] or "")
    assert list(ours.addresses()) == list(driver["nodelist"])
    assert (driver["password"] or "") in (*passwords_in(uri), "")
    assert ours.tls() is bool(driver["options"].get("tls"))


@pytest.mark.parametrize("password", ["pass#word", "pass[word", "pass/word?x=1", "pass@word", "p%23ss"])
def test_x95_a_password_is_masked_though_it_is_not_encoded(password):
    assert password in passwords_in(f"mongodb://app:{password}@db.example/cap?tls=true")


@pytest.mark.parametrize("uri", ["", "mongodb://", "not a uri", "mongodb://@/", "mongodb://[/x", "http://a@b@c"])
def test_text_that_is_no_uri_is_no_error(uri):
    parts_of(Secret(uri))
    passwords_in(uri)


def weak(uri):
    return weak_points(parts_of(Secret(uri)))


@pytest.mark.parametrize(
    ("uri", "word"),
    [
        ("mongodb://db.example/cap", "not encrypted"),
        ("mongodb://127.0.0.1,db.example/cap", "not encrypted"),
        ("mongodb://db.example/cap?tls=false", "not encrypted"),
        ("mongodb+srv://db.example/cap?ssl=false", "not encrypted"),
        ("mongodb://db.example/cap?tls=true&tlsInsecure=true", "tlsinsecure is on"),
        ("mongodb://db.example/cap?tls=true&tlsAllowInvalidCertificates=true", "tlsallowinvalidcertificates is on"),
        ("mongodb+srv://db.example/cap?tlsAllowInvalidHostnames=true", "tlsallowinvalidhostnames is on"),
    ],
)
def test_x33_a_connection_that_others_can_read_or_change_is_told_with_its_host(uri, word):
    (sentence,) = weak(uri)

    assert word in sentence
    assert "db.example" in sentence


@pytest.mark.parametrize(
    "uri",
    [
        "mongodb://127.0.0.1/cap",
        "mongodb://localhost:27017,[::1]:27018/cap",
        "mongodb://%2Frun%2Fmongodb.sock/cap",
        "mongodb://db.example/cap?tls=true",
        "mongodb://db.example/cap?ssl=true",
        "mongodb+srv://db.example/cap",
        "mongodb://db.example/cap?tlsCAFile=/etc/ca.pem",
        "mongodb://127.0.0.1/cap?tls=true&tlsInsecure=true",
    ],
)
def test_a_connection_that_is_encrypted_or_stays_on_the_host_is_not_warned_of(uri):
    assert weak(uri) == []
