# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Masking: every form in which a secret could surface, and nothing so short that masking it would reveal it."""

from __future__ import annotations

import base64
from urllib.parse import quote

import pytest
from ansible_collections.certautopilot.ops.plugins.module_utils._domain.env_keks import PREFIX
from ansible_collections.certautopilot.ops.plugins.module_utils._domain.secret import Secret
from ansible_collections.certautopilot.ops.plugins.module_utils._domain.settings import Source, resolve
from ansible_collections.certautopilot.ops.plugins.module_utils._keys import registry
from ansible_collections.certautopilot.ops.plugins.module_utils._module.redaction import (
    forms,
    masked_values,
    passwords_in,
    words_in,
)

PIN = "pin/7531 7531"
PASSWORD = "p@ss/word:1"
URI = f"mongodb://app:{quote(PASSWORD, safe='')}@a.example:1,b.example:2/cap"
KEY = "0123456789abcdef" * 4


def masked(secrets=None, **values):
    known = {setting.name: setting for setting in registry.all_settings()}
    source = Source("test", {known[name]: value for name, value in values.items()}, {f"{PREFIX}1": Secret(KEY)})
    return masked_values(resolve([source], secrets={name: Secret(value) for name, value in (secrets or {}).items()}))


def encodings(secret):
    raw = secret.encode()
    return {secret, quote(secret, safe=""), base64.b64encode(raw).decode().rstrip("="), raw.hex()}


@pytest.mark.parametrize("secret", [PIN, URI, PASSWORD, quote(PASSWORD, safe="")])
def test_pin_uri_and_password_are_masked_raw_percent_encoded_base64_and_hex(secret):
    assert encodings(secret) <= masked(pkcs11_pin=PIN, mongodb_uri=URI)


def test_a_kek_is_masked_in_both_cases_and_as_base64_of_its_bytes():
    expected = {KEY, KEY.upper(), base64.b64encode(bytes.fromhex(KEY)).decode().rstrip("=")}

    assert expected <= masked()


SECRET_LINES = [
    "CERTAUTOPILOT_JWT_SECRET",
    "CERTAUTOPILOT_API_KEY_PEPPER",
    "CERTAUTOPILOT_DATABASE_URI",
    "CERTAUTOPILOT_ENCRYPTION_PKCS11_PIN",
    "SMTP_PASSWORD",
    "LICENCE_API_KEY",
    "VAULT_TOKEN",
]


@pytest.mark.parametrize("name", SECRET_LINES)
def test_a_line_of_the_secrets_file_that_sounds_secret_is_masked(name):
    assert "value-of-the-line" in masked(secrets={name: "value-of-the-line"})


@pytest.mark.parametrize("name", ["SOFTHSM2_CONF", "CERTAUTOPILOT_ENCRYPTION_PKCS11_TOKEN_LABEL", "PATH"])
def test_a_path_or_a_label_is_not_masked_for_messages_name_them(name):
    assert "value-of-the-line" not in masked(secrets={name: "value-of-the-line"})


@pytest.mark.parametrize("short", ["", "1", "1234", "12345"])
def test_what_is_too_short_is_not_masked_for_the_gaps_would_show_it(short):
    assert list(forms(short)) == []


@pytest.mark.parametrize("uri", ["mongodb://h/db", "mongodb://user@h/db", "mongodb://[broken", "", "nonsense"])
def test_a_uri_without_a_password_has_none(uri):
    assert list(passwords_in(uri)) == []


def resolved(**secrets):
    return resolve([], secrets={name: Secret(value) for name, value in secrets.items()})


@pytest.mark.parametrize(
    ("secret", "result", "found"),
    [
        ("credentials", {"file": "dns_credentials.bson"}, True),
        ("credentials", {"collections": {"dns_credentials": 3}}, True),
        ("credentials", {"paths": ["/backup/credentials/x"]}, True),
        ("dns_credentials", ("dns_credentials",), True),
        ("credentials", {"file": "dns.bson", "count": 3, "none": None}, False),
        ("7531-7531", {"file": "7531-7531.bson"}, False),
        ("Xk9credentials", {"file": "Xk9credentials.bson"}, False),
        ("dns", {"file": "dns_credentials.bson"}, False),
    ],
)
def test_x37_only_a_word_that_the_result_holds_is_a_reason_not_to_mask_it(secret, result, found):
    assert words_in(resolved(JWT_SECRET=secret, OTHER="dns"), result) == ({secret} if found else set())


def test_x37_a_word_as_the_password_of_a_uri_is_named_without_the_uri():
    known = {setting.name: setting for setting in registry.all_settings()}
    settings = resolve([Source("test", {known["mongodb_uri"]: "mongodb://app:credentials@a.example/cap"})])

    assert words_in(settings, ["dns_credentials.bson"]) == {"credentials"}
