# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Settings: agreement of sources, refusals by code, and values that are never shown (bars T7 and T11)."""

from __future__ import annotations

import pytest
from ansible_collections.certautopilot.ops.plugins.module_utils._domain.env_keks import PREFIX
from ansible_collections.certautopilot.ops.plugins.module_utils._domain.errors import OpsError
from ansible_collections.certautopilot.ops.plugins.module_utils._domain.pkcs11_settings import pkcs11_settings
from ansible_collections.certautopilot.ops.plugins.module_utils._domain.secret import Secret
from ansible_collections.certautopilot.ops.plugins.module_utils._domain.settings import Settings, Source, resolve
from ansible_collections.certautopilot.ops.plugins.module_utils._keys import registry

URI = "mongodb://app:hunter2hunter2@db.example:27017/certautopilot"
PIN = "tricky-pin-7531"
KEY = "0123456789abcdef" * 4
OTHER = "fedcba9876543210" * 4
TOKEN = {"pkcs11_module_path": "/usr/lib/hsm.so", "pkcs11_token_label": "kek", "pkcs11_pin": PIN}

OPTIONS, FILE = "the module's options", "config file /etc/certautopilot/config.yaml"


def source(name, values, variables=None):
    """A source as files and options give it: settings by their names, variables as text."""
    known = {setting.name: setting for setting in registry.all_settings()}
    hidden = {variable: Secret(value) for variable, value in (variables or {}).items()}
    return Source(name, {known[setting]: value for setting, value in values.items()}, hidden)


def given(**values):
    return resolve([source(OPTIONS, values)])


def provider_of(settings):
    return registry.configured(settings).NAME


def keks_of(settings):
    return {version: kek.reveal() for version, kek in settings.keks.items()}


def database_of(settings):
    uri, name = settings.require_database()
    return uri.reveal(), name


def refusal(call, *arguments, **named):
    with pytest.raises(OpsError) as caught:
        call(*arguments, **named)
    return caught.value


def test_a_value_knows_which_source_gave_it():
    settings = resolve([source(OPTIONS, {"mongodb_database": "cap"}), source(FILE, {"provider": "env"})])

    assert provider_of(settings) == "env"
    assert settings.origins == {"mongodb_database": OPTIONS, "provider": FILE}


def test_two_sources_that_agree_are_one_value():
    settings = resolve([source(OPTIONS, {"provider": "env"}), source(FILE, {"provider": "env"})])

    assert provider_of(settings) == "env"


CONFLICTS = [
    ("provider", "env", "pkcs11"),
    ("mongodb_uri", URI, URI.replace("hunter2", "hunter3")),
    ("mongodb_database", "old", "new"),
    ("pkcs11_pin", PIN, PIN + "x"),
    ("pkcs11_token_label", "kek", "kek "),
]


@pytest.mark.parametrize(("name", "one", "other"), CONFLICTS)
def test_t7_two_sources_that_disagree_are_a_refusal_that_names_both(name, one, other):
    error = refusal(resolve, [source("the environment", {name: one}), source(FILE, {name: other})])

    assert error.code == "settings.conflict"
    assert "the environment" in error.message
    assert FILE in error.message
    assert not any(secret in str(error.as_result()) for secret in ("hunter", PIN))


def test_t7_two_sources_with_different_bytes_for_a_kek_version_are_a_refusal():
    sources = [source("one", {}, {f"{PREFIX}1": KEY}), source("other", {}, {f"{PREFIX}1": OTHER})]

    error = refusal(resolve, sources)

    assert error.code == "settings.conflict"
    assert KEY not in str(error.as_result())


def test_t7_the_same_kek_from_two_sources_in_two_cases_is_one_key():
    settings = resolve([source("one", {}, {f"{PREFIX}1": KEY}), source("other", {}, {f"{PREFIX}1": KEY.upper()})])

    assert keks_of(settings) == {1: bytes.fromhex(KEY)}


def test_t11_one_key_for_two_versions_is_refused_across_sources_too():
    error = refusal(resolve, [source("one", {}, {f"{PREFIX}1": KEY}), source("other", {}, {f"{PREFIX}2": KEY})])

    assert error.code == "env_kek.duplicate"


@pytest.mark.parametrize("value", ["", " ", "\t\n"])
@pytest.mark.parametrize("name", ["provider", "mongodb_uri", "mongodb_database", *TOKEN])
def test_t11_an_empty_value_is_refused_at_once_where_it_stands(name, value):
    error = refusal(resolve, [source(FILE, {name: value})])

    assert error.code == "settings.empty"
    assert name in error.message
    assert FILE in error.message


@pytest.mark.parametrize("value", [" env", "env ", "env\n"])
def test_t11_blanks_at_the_ends_are_refused_not_trimmed(value):
    assert refusal(given, provider=value).code == "settings.whitespace"


def test_t11_blanks_at_the_ends_of_a_pin_and_a_label_are_theirs():
    settings = given(**{**TOKEN, "pkcs11_pin": f" {PIN} ", "pkcs11_token_label": "kek "})

    assert pkcs11_settings(settings).pin.reveal() == f" {PIN} "


@pytest.mark.parametrize("provider", ["ENV", "kms", "pkcs#11"])
def test_t11_an_unknown_provider_is_refused(provider):
    error = refusal(provider_of, given(provider=provider))

    assert error.code == "settings.unknown_provider"
    assert provider in error.message


@pytest.mark.parametrize("path", ["hsm.so", "./hsm.so", "../lib/hsm.so"])
def test_t11_a_relative_module_path_is_refused(path):
    error = refusal(pkcs11_settings, given(**{**TOKEN, "pkcs11_module_path": path}))

    assert error.code == "settings.module_path"
    assert path in error.message


MISSING = [
    (provider_of, {}, "provider"),
    (database_of, {}, "mongodb_uri"),
    (database_of, {"mongodb_uri": "mongodb://db.example"}, "mongodb_database"),
    (registry.locked_kind("env").from_settings, {}, "ENV_KEK_V"),
    (pkcs11_settings, {}, "pkcs11_module_path"),
    (pkcs11_settings, {**TOKEN, "pkcs11_pin": None}, "pkcs11_pin"),
    (pkcs11_settings, {**TOKEN, "pkcs11_token_label": None}, "pkcs11_token_label"),
]


@pytest.mark.parametrize(("require", "values", "name"), MISSING)
def test_t11_what_is_missing_is_refused_only_when_it_is_needed_and_says_where_to_give_it(require, values, name):
    settings = given(**{key: value for key, value in values.items() if value is not None})

    error = refusal(require, settings)

    assert error.code == "settings.missing"
    assert name in error.message
    assert error.hint


DATABASES = [
    ({"mongodb_uri": URI}, "certautopilot"),
    ({"mongodb_uri": URI, "mongodb_database": "named"}, "named"),
    ({"mongodb_uri": "mongodb://a:1,b:2/two%20words?replicaSet=x"}, "two words"),
    ({"mongodb_uri": "mongodb+srv://db.example/cap?w=1"}, "cap"),
]


@pytest.mark.parametrize(("values", "name"), DATABASES)
def test_the_database_is_the_one_that_is_named_else_the_path_of_the_uri(values, name):
    assert database_of(given(**values)) == (values["mongodb_uri"], name)


def test_secrets_are_not_in_the_text_form_of_settings():
    given = source(OPTIONS, {"mongodb_uri": URI, **TOKEN}, {f"{PREFIX}1": KEY})
    secrets = {"CERTAUTOPILOT_JWT_SECRET": Secret("jwt-secret-value")}
    settings = resolve([given], secrets=secrets, secrets_file="/s.env")

    parts = [settings.values, settings.hidden, settings.keks, settings.secrets, given.variables]
    shown = repr(settings) + repr(given) + repr(pkcs11_settings(settings)) + repr(parts)

    assert not [secret for secret in (URI, "hunter2", PIN, KEY, "jwt-secret-value") if secret in shown]


def test_settings_without_any_source_refuse_every_need_but_exist():
    assert refusal(Settings().require_database).code == "settings.missing"
