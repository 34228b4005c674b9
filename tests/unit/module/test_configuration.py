# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Sources: which files must be there, who may read them, and what each bad file is called (bars T7 and T11)."""

from __future__ import annotations

import pytest
from ansible_collections.certautopilot.ops.plugins.module_utils._domain.errors import OpsError
from ansible_collections.certautopilot.ops.plugins.module_utils._domain.pkcs11_settings import pkcs11_settings
from ansible_collections.certautopilot.ops.plugins.module_utils._keys import registry
from ansible_collections.certautopilot.ops.plugins.module_utils._module import configuration

URI = "mongodb://app:hunter2hunter2@db.example/cap"
KEY = "0123456789abcdef" * 4


def test_the_default_files_are_those_of_the_product():
    assert (configuration.DEFAULT_CONFIG_FILE, configuration.DEFAULT_SECRETS_FILE) == (
        "/etc/certautopilot/config.yaml",
        "/etc/certautopilot/secrets.env",
    )


def database_of(settings):
    uri, name = settings.require_database()
    return uri.reveal(), name


def refusal(call, *arguments, **named):
    with pytest.raises(OpsError) as caught:
        call(*arguments, **named)
    return caught.value


def test_default_files_that_are_missing_are_passed_over(host):
    settings = host(mongodb_uri=URI)

    assert database_of(settings) == (URI, "cap")
    assert settings.secrets_file is None


def test_default_files_that_are_there_are_read(host):
    host.file("default.yaml", "encryption: {provider: env}")
    path = host.file("default.env", f"CERTAUTOPILOT_DATABASE_URI={URI}\nOTHER=kept\n")

    settings = host()

    assert registry.configured(settings).NAME == "env"
    assert settings.secrets_file == path
    assert settings.secrets["OTHER"].reveal() == "kept"


@pytest.mark.parametrize("option", ["config_file", "secrets_file", "mongodb_uri_file", "pkcs11_pin_file"])
def test_t11_a_named_file_that_is_missing_is_refused_by_its_path(host, option):
    error = refusal(host, **{option: str(host.folder / "nowhere")})

    assert error.code == "file.missing"
    assert str(host.folder / "nowhere") in error.message


@pytest.mark.parametrize("option", ["config_file", "secrets_file", "mongodb_uri_file", "pkcs11_pin_file"])
def test_t11_a_folder_and_bytes_that_are_no_text_are_refused(host, option):
    binary = host.folder / "binary"
    binary.write_bytes(b"\xff\xfe\x00")
    binary.chmod(0o600)

    assert refusal(host, **{option: str(host.folder)}).code == "file.kind"
    assert refusal(host, **{option: str(binary)}).code == "file.unreadable"


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620, 0o660, 0o601, 0o644])
@pytest.mark.parametrize("option", ["secrets_file", "mongodb_uri_file", "pkcs11_pin_file"])
def test_t11_a_secret_file_that_others_reach_is_refused_with_its_mode_and_the_way_out(host, option, mode):
    path = host.file("open", "A=1\n", mode)

    error = refusal(host, **{option: path})

    assert error.code == "file.permissions"
    assert f"{mode:04o}" in error.message
    assert f"chmod 600 {path}" in error.hint


@pytest.mark.parametrize("mode", [0o600, 0o400])
def test_a_private_file_is_accepted(host, mode):
    assert host(pkcs11_pin_file=host.file("pin", "7531-7531\n", mode)).hidden["pkcs11_pin"].reveal() == "7531-7531"


EMPTY = [("pkcs11_pin_file", "pin.empty"), ("mongodb_uri_file", "uri.empty")]


@pytest.mark.parametrize("text", ["", "\n", "  \n"])
@pytest.mark.parametrize(("option", "code"), EMPTY)
def test_t11_an_empty_file_is_refused(host, option, code, text):
    assert refusal(host, **{option: host.file("empty", text)}).code == code


def test_t11_a_uri_file_of_two_lines_is_refused(host):
    assert refusal(host, mongodb_uri_file=host.file("uri", f"{URI}\n\n")).code == "settings.whitespace"


BAD_CONFIGS = [
    ("encryption: [", "file.grammar"),
    ("- a list", "file.grammar"),
    ("just text", "file.grammar"),
    ("encryption: {provider: ''}", "settings.empty"),
    ("encryption: {pkcs11: {token_serial: 0123}}", "settings.type"),
    ("encryption: {pkcs11: {token_label: 12}}", "settings.type"),
    ("database: {name: no}", "settings.type"),
    ("database: {uri: [a]}", "settings.type"),
]


@pytest.mark.parametrize(("text", "code"), BAD_CONFIGS)
def test_t11_a_config_file_of_the_wrong_form_is_refused(host, text, code):
    path = host.file("config.yaml", text, 0o644)

    error = refusal(host, config_file=path)

    assert error.code == code
    assert path in error.message


def test_a_config_key_without_a_value_is_as_if_it_were_not_there(host):
    settings = host(
        config_file=host.file("config.yaml", "encryption: {provider: env, pkcs11: {token_serial: }}", 0o644)
    )

    assert settings.origins == {"provider": f"config file {host.folder}/config.yaml: encryption.provider"}


def test_a_yaml_error_does_not_quote_the_line(host):
    path = host.file("config.yaml", f'database: {{uri: "{URI}\n  bad: [', 0o600)

    assert "hunter2" not in str(refusal(host, config_file=path).as_result())


PLACES = {
    "option": lambda host: {"mongodb_uri": URI},
    "file": lambda host: {"mongodb_uri_file": host.file("uri", URI)},
    "environment": lambda host: {"environment": {"CERTAUTOPILOT_DATABASE_URI": URI}},
    "secrets": lambda host: {"secrets_file": host.file("s.env", f"CERTAUTOPILOT_DATABASE_URI={URI}")},
    "config": lambda host: {"config_file": host.file("c.yaml", f"database: {{uri: '{URI}'}}")},
}


@pytest.mark.parametrize("place", PLACES)
def test_a_value_may_stand_in_each_place(host, place):
    assert database_of(host(**PLACES[place](host))) == (URI, "cap")


@pytest.mark.parametrize("place", [name for name in PLACES if name != "option"])
def test_t7_any_place_that_disagrees_with_the_option_is_a_refusal_naming_both(host, place):
    given = {**PLACES[place](host), "mongodb_uri": URI.replace("/cap", "/other")}

    error = refusal(host, **given)

    assert error.code == "settings.conflict"
    assert "the module's options" in error.message
    assert "hunter2" not in str(error.as_result())


def test_keks_come_from_the_environment_and_the_secrets_file(host):
    secrets = host.file("s.env", f"CERTAUTOPILOT_ENCRYPTION_ENV_KEK_V1={KEY}")

    settings = host(secrets_file=secrets, environment={"CERTAUTOPILOT_ENCRYPTION_ENV_KEK_V2": KEY[::-1]})

    assert sorted(settings.keks) == [1, 2]


def test_variables_of_other_programs_are_passed_over(host):
    assert host(environment={"PATH": "/bin", "DATABASE_URI": "x"}).origins == {}


def test_the_variable_that_finds_the_token_is_taken_from_the_secrets_file_as_the_service_does(host):
    secrets = "SOFTHSM2_CONF=/etc/softhsm2.conf\nLD_PRELOAD=/tmp/x.so\nCERTAUTOPILOT_ENCRYPTION_PKCS11_PIN=7531-7531\n"
    token = {"pkcs11_module_path": "/usr/lib/hsm.so", "pkcs11_token_label": "kek"}

    settings = host(secrets_file=host.file("s.env", secrets), **token)

    assert pkcs11_settings(settings).environment == {"SOFTHSM2_CONF": "/etc/softhsm2.conf"}


def test_t7_an_environment_that_finds_another_token_than_the_service_does_is_a_refusal(host):
    secrets = host.file("s.env", "SOFTHSM2_CONF=/etc/softhsm2.conf")

    error = refusal(host, secrets_file=secrets, environment={"SOFTHSM2_CONF": "/srv/other/softhsm2.conf"})

    assert error.code == "settings.conflict"
    assert "SOFTHSM2_CONF" in error.message


def test_the_obsolete_variable_is_warned_of_wherever_it_stands(host):
    name = "CERTAUTOPILOT_ENCRYPTION_CURRENT_VERSION"

    host(secrets_file=host.file("s.env", f"{name}=1"), environment={name: "1"})

    assert len([text for text in host.warnings if name in text]) == 2


def test_catalogue_extras_become_tuples(host):
    assert host(catalogue={"vault": ["a.b", "c"]}).catalogue == {"vault": ("a.b", "c")}


@pytest.mark.parametrize("extra", [{"vault": "a.b"}, {"vault": []}, {"vault": [""]}, {"vault": [1]}, {"vault": None}])
def test_t11_a_catalogue_that_is_no_list_of_paths_is_refused(host, extra):
    assert refusal(host, catalogue=extra).code == "settings.catalogue"


def test_x30_a_secret_of_the_environment_is_warned_of_by_its_name(host):
    host({"CERTAUTOPILOT_ENCRYPTION_PKCS11_PIN": "5555-5555", "CERTAUTOPILOT_DATABASE_NAME": "cap"}, mongodb_uri=URI)

    (warning,) = host.warnings
    assert "CERTAUTOPILOT_ENCRYPTION_PKCS11_PIN comes from the environment" in warning
    assert "5555" not in warning
