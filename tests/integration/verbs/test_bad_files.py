# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Bad KEKs, PINs and files at a verb that would write: the code, and a database and token that stay as they were."""

from __future__ import annotations

import pytest
from ansible_collections.certautopilot.ops.plugins.module_utils._domain.errors import OpsError

KEK = "0123456789abcdef" * 4
VARIABLE = "CERTAUTOPILOT_ENCRYPTION_ENV_KEK_V"


def refused(site, verb, **options):
    before = site.documents()
    with pytest.raises(OpsError) as refusal:
        site.call(verb, **options)
    assert site.documents() == before
    return refusal.value


@pytest.mark.parametrize(
    ("line", "code"),
    [
        (f"{VARIABLE}1={KEK[:63]}", "env_kek.length"),
        (f"{VARIABLE}1={KEK}0", "env_kek.length"),
        (f"{VARIABLE}1={KEK[:63]}g", "env_kek.not_hex"),
        (f"{VARIABLE}1={'0' * 64}", "env_kek.all_zero"),
        (f'{VARIABLE}1="{KEK[:32]} {KEK[:31]}"', "env_kek.whitespace"),
        (f"{VARIABLE}1=", "env_kek.empty"),
        (f"{VARIABLE}1={KEK}\n{VARIABLE}2={KEK}", "env_kek.duplicate"),
        (f"{VARIABLE}0={KEK}", "env_kek.version_name"),
        (f"{VARIABLE}01={KEK}", "env_kek.version_name"),
        ("", "settings.missing"),
    ],
    ids=["63", "65", "not hex", "all zero", "with spaces", "empty", "same bytes twice", "V0", "V01", "none"],
)
def test_t11_a_bad_kek_locks_nothing(new_site, line, code):
    site = new_site()
    site.write()
    with site.secrets_file.open("a") as secrets_file:
        secrets_file.write(line + "\n")

    refusal = refused(site, "kek_install_lock")

    assert refusal.code == code
    assert KEK[:20] not in str(refusal.as_result())
    assert site.client[site.name].list_collection_names() == []


def test_a_secrets_file_that_others_can_read_is_refused(env_site):
    env_site.secrets_file.chmod(0o644)

    refusal = refused(env_site, "kek_rotate", to_version=2)

    assert refusal.code == "file.permissions"
    assert "0644" in refusal.message


@pytest.mark.parametrize(
    ("content", "mode", "code"),
    [
        (None, 0o600, "file.missing"),
        ("", 0o600, "pin.empty"),
        ("\n", 0o600, "pin.empty"),
        ("wrong-pin-9999\n", 0o600, "pkcs11.pin_incorrect"),
        ("wrong-pin-9999\n", 0o640, "file.permissions"),
    ],
    ids=["missing", "empty", "only a newline", "wrong", "readable by others"],
)
def test_a_bad_pin_file_initialises_nothing(hsm_site, token, tmp_path, content, mode, code):
    del hsm_site.pkcs11["pin"]
    hsm_site.write()
    pin_file = tmp_path / "pin"
    if content is not None:
        pin_file.write_text(content)
        pin_file.chmod(mode)

    before = hsm_site.documents()
    with pytest.raises(OpsError) as refusal:
        hsm_site.call("kek_pkcs11_init", overrides={"pkcs11_pin_file": str(pin_file)}, version=1)

    assert refusal.value.code == code
    assert "wrong-pin-9999" not in str(refusal.value.as_result())
    after = hsm_site.documents()
    after.pop(
        "kek_pin_refusals", None
    )  # that a PIN was refused is noted for the other hosts, see installation/test_login_turn.py
    assert after == before
    assert token.keys() == []


def test_t7_an_option_that_disagrees_with_the_files_is_refused_and_both_are_named(env_site):
    before = env_site.documents()
    with pytest.raises(OpsError) as refusal:
        env_site.call("kek_rotate", overrides={"mongodb_database": "another"}, to_version=2)

    assert refusal.value.code == "settings.conflict"
    assert "option" in refusal.value.message
    assert str(env_site.config_file) in refusal.value.message
    assert env_site.documents() == before
