# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A URI that cannot be used is refused by what is wrong with it, and no option is dropped in silence."""

from __future__ import annotations

import pytest
from ansible_collections.certautopilot.ops.plugins.module_utils._domain.errors import OpsError
from ansible_collections.certautopilot.ops.plugins.module_utils._domain.secret import Secret
from ansible_collections.certautopilot.ops.plugins.module_utils._domain.settings import Settings
from ansible_collections.certautopilot.ops.plugins.module_utils._store import opening
from ansible_collections.certautopilot.ops.plugins.module_utils._store.opening import Beside, client_of, connection_of

PASSWORD = "hunter2hunter2"


def client(uri, **said):
    return client_of(connection_of(Secret(uri), Beside(**said)))


def refusal(uri, **said):
    with pytest.raises(OpsError) as caught:
        client(uri, **said).close()
    assert PASSWORD not in str(caught.value.as_result())
    return caught.value


@pytest.mark.parametrize(
    ("uri", "code", "word"),
    [
        ("mongodb://db.example/cap?tls=maybe", "database.uri_option", "tls"),
        ("mongodb://db.example/cap?tlsInsecur=true", "database.uri_option", "tlsinsecur"),
        ("mongodb://db.example/cap?sslInsecure=true", "database.uri_option", "sslinsecure"),
        ("mongodb://db.example/cap?connectTimeoutMS=abc", "database.uri_option", "connecttimeoutms"),
        ("mongodb://db.example/cap?readPreference=foo", "database.uri_option", "readpreference"),
        ("mongodb://a.example,b.example/cap?directConnection=true", "database.uri_option", "exclude each other"),
        ("mongodb://db.example/cap?tls=false&tlsCAFile=CA", "database.uri_option", "exclude each other"),
        ("mongodb://db.example/cap?tls=true&tlsCAFile=/no/such/ca.pem", "file.missing", "/no/such/ca.pem"),
        ("mongodb://db.example/cap?tls=true&tlsCertificateKeyFile=/no/such.pem", "file.missing", "/no/such.pem"),
        ("mongodb://db.example/cap?tls=true&tlsCAFile=NO_PEM", "database.tls_file", "no.pem"),
        (f"mongodb://app:{PASSWORD}@@db.example/cap", "database.uri_invalid", "parsed"),
        (f"mongodb://app:{PASSWORD}@db.example:99999/cap", "database.uri_invalid", "parsed"),
        (f"mongodb://app:x?{PASSWORD}@db.example/cap", "database.uri_invalid", "parsed"),
        (f"http://app:{PASSWORD}@db.example/cap", "database.uri_invalid", "parsed"),
    ],
)
def test_x95_what_is_wrong_with_a_uri_is_told_by_its_cause(tmp_path, uri, code, word):
    (tmp_path / "no.pem").write_text("no certificate")
    (tmp_path / "ca.pem").write_text("none either, and not read")
    uri = uri.replace("NO_PEM", str(tmp_path / "no.pem")).replace("=CA", f"={tmp_path / 'ca.pem'}")

    failure = refusal(uri)

    assert (failure.code, failure.retryable) == (code, False)
    assert word in failure.message


def test_x95_connect_direct_of_the_services_driver_is_understood():
    opened = client("mongodb://127.0.0.1:9/cap?connect=direct")

    assert opened.topology_description.topology_type_name == "Single"
    opened.close()


def test_x33_options_beside_the_uri_reach_the_driver(tmp_path):
    opened = client("mongodb://127.0.0.1:9/cap", tls=True)

    assert opened.options.pool_options._ssl_context is not None
    opened.close()
    assert refusal("mongodb://127.0.0.1:9/cap", ca_file=str(tmp_path / "absent.pem")).code == "file.missing"


@pytest.mark.parametrize(
    ("uri", "said"),
    [
        ("mongodb://db.example/cap?tls=true", {"tls": False}),
        ("mongodb://db.example/cap?ssl=false", {"tls": True}),
        ("mongodb://db.example/cap?tlsCAFile=/a.pem", {"ca_file": "/b.pem"}),
        ("mongodb://db.example/cap?tlsCertificateKeyFile=/a.pem", {"key_file": "/b.pem"}),
    ],
)
def test_what_the_uri_and_an_option_say_differently_is_refused(uri, said):
    assert refusal(uri, **said).code == "settings.conflict"


def test_x33_a_ca_file_that_others_may_write_is_refused(tmp_path):
    path = tmp_path / "ca.pem"
    path.write_text("x")
    path.chmod(0o666)

    assert refusal("mongodb://127.0.0.1:9/cap", ca_file=str(path)).code.startswith("file.")


@pytest.mark.parametrize(
    ("uri", "values", "words"),
    [
        ("mongodb://db.example/cap", {}, ["not encrypted"]),
        ("mongodb://db.example/cap", {"mongodb_tls": "True"}, []),
        ("mongodb://127.0.0.1/cap?bogus=1", {}, ["option bogus"]),
        (f"mongodb://127.0.0.1/cap?{PASSWORD}-x=1", {}, ["option (not shown)"]),
    ],
)
def test_x33_what_is_weak_or_without_effect_is_warned_of(uri, values, words):
    told = []

    opening.warn_of_connection(Settings(values, hidden={"mongodb_uri": Secret(uri)}), told.append)

    assert len(told) == len(words)
    assert all(word in sentence for word, sentence in zip(words, told, strict=True))
