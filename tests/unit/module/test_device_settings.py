# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Settings of the HSM: what a PIN may look like, times, and variables for its library (X60, X62, X66)."""

from __future__ import annotations

import pytest
from ansible_collections.certautopilot.ops.plugins.module_utils._domain.errors import OpsError
from ansible_collections.certautopilot.ops.plugins.module_utils._domain.pkcs11_settings import START_TIMEOUT, TIMEOUT
from ansible_collections.certautopilot.ops.plugins.module_utils._module import arguments

PIN, NOT_TYPED = "CERTAUTOPILOT_ENCRYPTION_PKCS11_PIN", "pin.not_typed"
NEVER_TYPED = (
    "7531\n\n", "7531\r\n\r\n", " 7531\n", "7531 \n", "\ufeff7531\n", "75\r31", "7531\t", "75\x0031", "7531\x1b",
)  # fmt: skip


def refusal(call, *arguments, **named):
    with pytest.raises(OpsError) as caught:
        call(*arguments, **named)
    return caught.value


@pytest.mark.parametrize("end", ["", "\n", "\r\n"])
def test_x62_exactly_one_line_end_belongs_to_the_file_and_not_to_the_pin(host, end):
    settings = host(pkcs11_pin_file=host.file("pin", f"75 31{end}"))

    assert settings.hidden["pkcs11_pin"].reveal() == "75 31"


@pytest.mark.parametrize("text", NEVER_TYPED)
def test_x62_a_pin_file_that_holds_what_nobody_can_have_typed_is_refused_and_not_shown(host, text):
    path = host.file("pin", text)

    error = refusal(host, pkcs11_pin_file=path)

    assert error.code == NOT_TYPED
    assert str(path) in error.message
    assert "7531" not in f"{error.message} {error.hint}"


def test_x62_a_pin_in_secrets_env_may_have_blanks_at_its_ends_but_no_tab_in_it(host):
    settings = host(secrets_file=host.file("good", f'{PIN}=" 7531 "\n'))

    assert settings.hidden["pkcs11_pin"].reveal() == " 7531 "
    assert refusal(host, secrets_file=host.file("bad", f'{PIN}="75\t31"\n')).code == NOT_TYPED


def test_x60_both_times_are_options_of_every_module_that_uses_a_key():
    assert {arguments.PROVIDER[setting.name]["type"] for setting in (TIMEOUT, START_TIMEOUT)} == {"int"}


@pytest.mark.parametrize("text", ["0", "1.5", "-3", "86401", "soon"])
def test_x60_a_time_that_is_none_is_refused_by_its_name(host, text):
    settings = host(secrets_file=host.file("secrets", f"CERTAUTOPILOT_OPS_PKCS11_TIMEOUT={text}\n"))

    refused = refusal(settings.seconds, TIMEOUT, 120)

    assert refused.code == "settings.seconds"
    assert "pkcs11_timeout" in refused.message
    assert settings.seconds(START_TIMEOUT, 60) == 60


def test_x60_times_come_from_options_and_variables(host):
    settings = host(pkcs11_timeout=30, secrets_file=host.file("s", "CERTAUTOPILOT_OPS_PKCS11_START_TIMEOUT=90\n"))

    assert (settings.seconds(TIMEOUT, 120), settings.seconds(START_TIMEOUT, 60)) == (30, 90)


def test_x66_variables_of_every_family_reach_the_library_and_those_that_an_operator_names(host):
    names = (
        "FORTANIX_API_ENDPOINT", "KMS_PKCS11_CONFIG", "P11_KIT_STRICT", "TPM2_PKCS11_STORE", "EP11_CONFIG",
        "SOFTHSM2_CONF", "CKNFAST_LOADSHARING", "ChrystokiConfigurationPath", "ACME_HSM_HOST", "ACME2_TLS",
    )  # fmt: skip
    more = {"CERTAUTOPILOT_OPS_PKCS11_LIBRARY_VARIABLES": "ACME_HSM_, ACME2_", "OTHER": "x"}
    text = "".join(f"{name}={value}\n" for name, value in {**dict.fromkeys(names, "/etc/hsm"), **more}.items())

    settings = host(secrets_file=host.file("secrets", text))

    assert settings.hsm_environment == dict.fromkeys(names, "/etc/hsm")
